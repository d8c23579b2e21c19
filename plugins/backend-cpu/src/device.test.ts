import { expect, it } from 'vitest';
import { Device, DeviceFailure, type OnnxRuntime } from './device.js';
import { sharedWords, type Call } from './protocol.js';

/** A stand-in for onnxruntime whose sessions call `onRun` and give back one number. */
function setUp(onRun: () => void = () => undefined): { device: Device; shared: Int32Array<SharedArrayBuffer>; freed: ArrayBuffer[]; runs: () => number } {
  let runs = 0;
  const session = {
    run() {
      runs++;
      onRun();
      return Promise.resolve({ y: { type: 'float32', data: Float32Array.from([5]), dims: [1] } });
    },
    release: () => Promise.resolve(),
  };
  const runtime = { InferenceSession: { create: () => Promise.resolve(session) }, Tensor: Object } as unknown as OnnxRuntime;
  const shared = new Int32Array(new SharedArrayBuffer(4 * sharedWords.count));
  const freed: ArrayBuffer[] = [];
  const device = new Device(runtime, { threads: 1, shared }, (buffer) => freed.push(buffer));
  return { device, shared, freed, runs: () => runs };
}

const compile: Call = { kind: 'compile', session: 1, model: new Uint8Array(1) };
const run = (ticket: number): Call => ({ kind: 'run', session: 1, ticket, inputs: [], outputs: [{ name: 'y', id: 7, dtype: 'float32' }] });
const reasonOf = (promise: Promise<unknown>): Promise<string> =>
  promise.then(
    () => 'none',
    (error: unknown) => (error instanceof DeviceFailure ? error.reason : String(error)),
  );

it('drops a run that was cancelled before it began', async () => {
  const { device, shared, runs } = setUp();
  await device.handle({ ...compile, call: 1 });
  Atomics.store(shared, sharedWords.cancelled(3), 3);
  expect(await reasonOf(device.handle({ ...run(3), call: 2 }))).toBe('aborted');
  expect(runs()).toBe(0);
  await device.handle({ ...run(4), call: 3 });
  expect(runs()).toBe(1);
});

it('lets a run finish that is cancelled while it works, and frees its outputs', async () => {
  const { device, shared, freed, runs } = setUp(() => Atomics.store(shared, sharedWords.cancelled(3), 3));
  await device.handle({ ...compile, call: 1 });
  freed.length = 0;
  expect(await reasonOf(device.handle({ ...run(3), call: 2 }))).toBe('aborted');
  expect(runs()).toBe(1);
  expect(freed.map((buffer) => buffer.byteLength)).toEqual([4]);
  expect(await reasonOf(device.handle({ kind: 'read', id: 7, call: 3 }))).toBe('failed');
});

it('keeps a cancelled ticket from cancelling the one that shares its word', async () => {
  const { device, shared, runs } = setUp();
  await device.handle({ ...compile, call: 1 });
  const other = 3 + sharedWords.count - 2;
  expect(sharedWords.cancelled(other)).toBe(sharedWords.cancelled(3));
  Atomics.store(shared, sharedWords.cancelled(3), 3);
  await device.handle({ ...run(other), call: 2 });
  expect(runs()).toBe(1);
});

it('frees what is disposed, and everything at the end', async () => {
  const { device, freed } = setUp();
  await device.handle({ kind: 'allocate', id: 1, dtype: 'int4', shape: [5] });
  await device.handle({ kind: 'write', id: 2, dtype: 'float32', shape: [2], buffer: new ArrayBuffer(8) });
  await device.handle({ kind: 'dispose', id: 1 });
  expect(freed.map((buffer) => buffer.byteLength)).toEqual([3]);
  await device.handle({ kind: 'close' });
  expect(freed.map((buffer) => buffer.byteLength)).toEqual([3, 8]);
});

it('sorts failures', async () => {
  for (const [message, reason] of [
    ['std::bad_alloc', 'memory'],
    ['[ONNXRuntimeError] : 9 : NOT_IMPLEMENTED : Could not find an implementation for Erf(13)', 'unimplemented'],
    ['Non-zero status code returned while running Gather node.', 'failed'],
  ] as const) {
    const { device } = setUp(() => {
      throw new Error(message);
    });
    await device.handle({ ...compile, call: 1 });
    expect(await reasonOf(device.handle({ ...run(1), call: 2 }))).toBe(reason);
  }
});
