import type * as ChildProcess from 'node:child_process';
import type * as NodeModule from 'node:module';
import { adapterName, findGpu, isSoftware } from './gpu.js';

/** What an adapter is, as far as a probe tells. */
export interface AdapterReport {
  readonly name: string;
  readonly software: boolean;
}

/** The adapter found, or why there is none. */
export type Probe = { readonly adapter: AdapterReport } | { readonly missing: string };

const noAdapter = 'no adapter: no GPU driver that WebGPU can use (Vulkan, Metal or Direct3D 12) was found';
/** Milliseconds after which a driver counts as hanging. */
const patience = 15_000;

let probe: Promise<Probe> | undefined;

/** Node's process; undefined in browsers. */
const node = (globalThis as { readonly process?: { readonly execPath: string; readonly versions?: { readonly node?: string } } }).process;

/**
 * Looks for an adapter without opening it. In Node a process of its own does so: drivers write what they like to standard error while they are looked for, and one that
 * crashes takes nothing with it.
 */
export function probeAdapter(): Promise<Probe> {
  probe ??= node?.versions?.node === undefined ? probeHere() : probeInProcess(node.execPath);
  return probe;
}

async function probeHere(): Promise<Probe> {
  const { gpu, missing } = await findGpu();
  if (missing !== undefined) return { missing };
  const adapter = await gpu.requestAdapter({ powerPreference: 'high-performance' });
  return adapter === null ? { missing: noAdapter } : { adapter: { name: adapterName(adapter), software: isSoftware(adapter) } };
}

/** Runs in the process of the probe: prints the adapter's facts, which are judged by the same code as elsewhere. */
const script = `
import(process.argv[1]).then(async ({ create }) => {
  const gpu = create([]);
  const adapter = await gpu.requestAdapter({ powerPreference: 'high-performance' });
  const { description, device, vendor, architecture } = adapter?.info ?? {};
  process.stdout.write(JSON.stringify(adapter === null ? null : { description, device, vendor, architecture }), () => process.exit(0));
});
`;

async function probeInProcess(executable: string): Promise<Probe> {
  // Names in variables, so that bundlers for browsers do not follow them.
  const [childProcess, nodeModule] = ['node:child_process', 'node:module'];
  const { execFile } = (await import(/* @vite-ignore */ childProcess!)) as typeof ChildProcess;
  const { createRequire } = (await import(/* @vite-ignore */ nodeModule!)) as typeof NodeModule;
  let dawn: string;
  try {
    dawn = createRequire(import.meta.url).resolve('webgpu');
  } catch {
    return { missing: 'the optional package "webgpu" (Dawn) is not installed; "npm install webgpu" brings it' };
  }
  return new Promise((done) => {
    execFile(executable, ['--eval', script, dawn], { timeout: patience }, (error, stdout) => {
      if (error !== null) {
        const how = error.killed === true ? `did not answer within ${String(patience / 1000)} s` : `ended with ${error.signal ?? `exit code ${String(error.code)}`}`;
        done({ missing: `looking for an adapter failed: the GPU driver ${how}` });
        return;
      }
      const info = JSON.parse(stdout) as { readonly description: string; readonly device: string; readonly vendor: string; readonly architecture: string } | null;
      done(info === null ? { missing: noAdapter } : { adapter: { name: adapterName({ info }), software: isSoftware({ info }) } });
    });
  });
}
