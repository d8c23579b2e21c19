import { Buffer, provideFile } from './files-in-page.js';
import type * as VitestInPage from './vitest-in-page.js';

/* The page's entry: fetches the suite's fixtures, then loads the suite and runs it. */

Object.assign(globalThis, { Buffer });
for (const name of ['index.json', 'data.safetensors']) provideFile(name, await (await fetch(`/${name}`)).arrayBuffer());
await import('../src/conformance.test.js');
const { runAll } = (await import('vitest')) as unknown as typeof VitestInPage;
(globalThis as { results?: unknown }).results = await runAll();
