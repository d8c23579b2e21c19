#!/usr/bin/env node
// Exists before anything is built, so that npm can link it when it installs the workspace.
await import('../dist/main.js');
