// The part that a page can load, too.
import { describeBackend } from '@pare/conformance/backend';
import { webgpuBackend } from './index.js';

const silent = { debug() {}, info() {}, warn() {}, error() {} };

describeBackend('webgpu', () => webgpuBackend.create({ powerPreference: 'high-performance', software: true }, { log: silent }));
