import {
  capabilityRef,
  dtypes,
  float32Tensor,
  hostTensor,
  isPareError,
  tensorBytes,
  type Backend,
  type DeviceTensor,
  type Executable,
  type Graph,
  type HostTensor,
} from '@pare/core';
import { GraphBuilder } from '@pare/graph';
import { expect, it } from 'vitest';
import type { Tolerance } from './backend-case.js';
import { values } from './cases/property-case.js';
import { difference } from './compare.js';

interface ContractSubject {
  backend(): Backend;
  makeBackend(): Backend | Promise<Backend>;
  readonly structureOnly: boolean;
}

/** y = 2x + row, for any number of rows. */
function rowsGraph(): Graph {
  const builder = new GraphBuilder('rows');
  const x = builder.input('x', 'float32', ['rows', 3]);
  const row = builder.input('row', 'float32', [3]);
  builder.output(builder.add(builder.mul(x, 2), row), 'y');
  return builder.build();
}

/** A chain of products that takes long enough to be interrupted. */
function longGraph(): Graph {
  const builder = new GraphBuilder('long');
  let x = builder.input('x', 'float32', [128, 128]);
  for (let step = 0; step < 40; step++) x = builder.tanh(builder.matmul(x, x));
  builder.output(x, 'y');
  return builder.build();
}

const row = float32Tensor([3], [1, 2, 3]);

const exactly: Tolerance = { relative: 0, absolute: 0 };
/** One float32 rounding of an intermediate result, which a backend that fuses operators leaves out. */
const rounding: Tolerance = { relative: 1e-6, absolute: 1e-6 };

async function errorOf(work: Promise<unknown> | (() => unknown)): Promise<unknown> {
  try {
    await (typeof work === 'function' ? work() : work);
    return undefined;
  } catch (error) {
    return error;
  }
}

/** Fails unless the work failed with this code; `advice` says what to change. */
async function expectCode(work: Promise<unknown> | (() => unknown), code: string, advice: string): Promise<void> {
  const error = await errorOf(work);
  if (isPareError(error) && error.code === code) return;
  throw new Error(`expected ${code}, got ${error === undefined ? 'no error' : String(error)}. ${advice}`);
}

/** Runs with tensors made here; the results are the caller's. */
async function runRows(backend: Backend, executable: Executable, x: HostTensor): Promise<DeviceTensor> {
  using scope = backend.scope();
  const outputs = await executable.run({ x: scope.own(backend.write(x)), row: scope.own(backend.write(row)) });
  return outputs['y']!;
}

function rowsExpected(x: HostTensor): HostTensor {
  return float32Tensor(
    x.shape,
    Float32Array.from(x.data as Float32Array, (value, index) => 2 * value + (index % 3) + 1),
  );
}

/** The rules that `@pare/core` states for backends, executables and device tensors. */
export function contractTests(subject: ContractSubject): void {
  const { structureOnly } = subject;
  const expectTensor = (actual: HostTensor, expected: HostTensor, tolerance: Tolerance = exactly): void => {
    const wrong = difference('tensor', actual, expected, tolerance, structureOnly);
    if (wrong !== undefined) throw new Error(wrong);
  };

  it.each(dtypes)('writes and reads %s unchanged', async (dtype) => {
    const backend = subject.backend();
    for (const shape of [[], [0], [1], [3], [2, 5], [3, 0, 2], [70001]]) {
      const tensor = values(shape, dtype.startsWith('u') || dtype === 'bool' ? 0 : -7, 7, dtype);
      using device = backend.write(tensor);
      expect({ dtype: device.dtype, shape: device.shape, byteLength: device.byteLength, disposed: device.disposed }).toEqual({
        dtype,
        shape,
        byteLength: tensorBytes(tensor),
        disposed: false,
      });
      expectTensor(await backend.read(device), tensor);
    }
  });

  it.each(dtypes)('allocates zeros of %s', async (dtype) => {
    const backend = subject.backend();
    using device = backend.allocate(dtype, [3, 5]);
    expectTensor(await backend.read(device), hostTensor(dtype, [3, 5]));
  });

  it('copies what is written, unless it is transferred', async () => {
    const backend = subject.backend();
    const tensor = float32Tensor([3], [1, 2, 3]);
    using copied = backend.write(tensor);
    tensor.data.fill(9);
    expectTensor(await backend.read(copied), float32Tensor([3], [1, 2, 3]));
    using transferred = backend.write(float32Tensor([3], [4, 5, 6]), { transfer: true });
    expectTensor(await backend.read(transferred), float32Tensor([3], [4, 5, 6]));
  });

  it('writes a view into a larger buffer, transferred or not', async () => {
    const backend = subject.backend();
    const whole = Float32Array.of(0, 1, 2, 3, 4);
    const view = { dtype: 'float32', shape: [3], data: whole.subarray(1, 4) } as const;
    using copied = backend.write(view);
    expectTensor(await backend.read(copied), float32Tensor([3], [1, 2, 3]));
    using transferred = backend.write(view, { transfer: true });
    expectTensor(await backend.read(transferred), float32Tensor([3], [1, 2, 3]));
  });

  it('hands out a copy at every read', async () => {
    const backend = subject.backend();
    using device = backend.write(row);
    const first = await backend.read(device);
    (first.data as Float32Array).fill(7);
    expectTensor(await backend.read(device), row);
  });

  it('refuses arrays that do not have their shape', async () => {
    const backend = subject.backend();
    expect(
      await errorOf(() => backend.write({ dtype: 'float32', shape: [4], data: new Float32Array(3) })),
      'write must check the number of elements',
    ).toBeInstanceOf(Error);
  });

  it('runs with another number of rows every time', async () => {
    const backend = subject.backend();
    await using executable = await backend.compile(rowsGraph());
    for (const rows of [1, 5, 0, 70001, 2]) {
      const x = values([rows, 3]);
      using y = await runRows(backend, executable, x);
      expectTensor(await backend.read(y), rowsExpected(x), rounding);
    }
  });

  it('leaves inputs alive and unchanged, and hands outputs over', async () => {
    const backend = subject.backend();
    const host = float32Tensor([2, 3], [1, 2, 3, 4, 5, 6]);
    using scope = backend.scope();
    const executable = await backend.compile(rowsGraph());
    const x = scope.own(backend.write(host));
    const bias = scope.own(backend.write(row));
    const y = scope.own((await executable.run({ x, row: bias }))['y']!);
    expect(x.disposed || bias.disposed, 'a run borrows its inputs and must not dispose them').toBe(false);
    expectTensor(await backend.read(x), host);
    x[Symbol.dispose]();
    bias[Symbol.dispose]();
    await executable[Symbol.asyncDispose]();
    expectTensor(await backend.read(y), rowsExpected(host));
  });

  it('gives outputs that share an input a life of their own', async () => {
    const backend = subject.backend();
    const builder = new GraphBuilder('same');
    const x = builder.input('x', 'float32', [3]);
    builder.output(builder.op('Identity', [x]), 'copy');
    builder.output(builder.reshape(x, [1, 3]), 'row');
    await using executable = await backend.compile(builder.build());
    using scope = backend.scope();
    const given = scope.own(backend.write(row));
    const outputs = await executable.run({ x: given });
    const [copy, reshaped] = [scope.own(outputs['copy']!), scope.own(outputs['row']!)];
    given[Symbol.dispose]();
    expectTensor(await backend.read(copy), row);
    copy[Symbol.dispose]();
    expectTensor(await backend.read(reshaped), float32Tensor([1, 3], [1, 2, 3]));
  });

  it('takes one tensor for several inputs, and outputs of one run as inputs of another', async () => {
    const backend = subject.backend();
    const builder = new GraphBuilder('sum');
    builder.output(builder.add(builder.input('a', 'float32', [3]), builder.input('b', 'float32', [3])), 'y');
    await using executable = await backend.compile(builder.build());
    using x = backend.write(row);
    const { y: twice } = await executable.run({ a: x, b: x });
    using kept = twice!;
    const { y: thrice } = await executable.run({ a: kept, b: x });
    using last = thrice!;
    expectTensor(await backend.read(last), float32Tensor([3], [3, 6, 9]));
  });

  it('computes only the outputs that are asked for', async () => {
    const backend = subject.backend();
    const builder = new GraphBuilder('two outputs');
    const x = builder.input('x', 'float32', [3]);
    const middle = builder.mul(x, 2);
    builder.output(middle, 'double');
    builder.output(builder.add(middle, x), 'triple');
    await using executable = await backend.compile(builder.build());
    using scope = backend.scope();
    const given = scope.own(backend.write(row));
    const one = await executable.run({ x: given }, { outputs: ['triple'] });
    for (const tensor of Object.values(one)) scope.own(tensor);
    expect(Object.keys(one)).toEqual(['triple']);
    expectTensor(await backend.read(one['triple']!), float32Tensor([3], [3, 6, 9]));
    await expectCode(
      executable.run({ x: given }, { outputs: ['quadruple'] }),
      'PARE_TENSOR_MISMATCH',
      'planRun of @pare/core checks the names of wanted outputs.',
    );
  });

  it('runs calls that overlap', async () => {
    const backend = subject.backend();
    await using executable = await backend.compile(rowsGraph());
    const inputs = [1, 2, 3, 4].map((seed) => values([17, 3], -2, 2, 'float32', seed));
    using scope = backend.scope();
    const outputs = await Promise.all(inputs.map(async (x) => scope.own(await runRows(backend, executable, x))));
    for (const [index, output] of outputs.entries()) expectTensor(await backend.read(output), rowsExpected(inputs[index]!), rounding);
  });

  it('gives the same bits at every run', async () => {
    const backend = subject.backend();
    await using executable = await backend.compile(longGraph());
    using x = backend.write(values([128, 128], -0.1, 0.1));
    const results: HostTensor[] = [];
    for (let time = 0; time < 2; time++) {
      const { y } = await executable.run({ x });
      results.push(await backend.read(y!));
      y![Symbol.dispose]();
    }
    expectTensor(results[0]!, results[1]!);
  });

  it('reads constants that are fetched on demand', async () => {
    const backend = subject.backend();
    const builder = new GraphBuilder('lazy');
    const bytes = new Uint8Array(Float32Array.of(10, 20, 30).buffer);
    const constant = builder.initializer('weight', { dtype: 'float32', shape: [3], read: () => Promise.resolve(bytes.slice()) });
    builder.output(builder.add(builder.input('x', 'float32', [3]), constant), 'y');
    await using executable = await backend.compile(builder.build());
    using x = backend.write(row);
    const { y } = await executable.run({ x });
    using result = y!;
    expectTensor(await backend.read(result), float32Tensor([3], [11, 22, 33]));
  });

  it('refuses disposed tensors', async () => {
    const backend = subject.backend();
    await using executable = await backend.compile(rowsGraph());
    using x = backend.write(float32Tensor([1, 3]));
    const gone = backend.write(row);
    gone[Symbol.dispose]();
    gone[Symbol.dispose]();
    expect(gone.disposed).toBe(true);
    await expectCode(() => backend.read(gone), 'PARE_TENSOR_DISPOSED', 'read must check tensor.disposed.');
    await expectCode(() => executable.run({ x, row: gone }), 'PARE_TENSOR_DISPOSED', 'checkRunInputs of @pare/core checks the inputs of a run.');
  });

  it('refuses inputs that do not fit the graph', async () => {
    const backend = subject.backend();
    const builder = new GraphBuilder('pairs');
    builder.output(builder.add(builder.input('a', 'float32', ['n', 3]), builder.input('b', 'float32', ['n', 3])), 'y');
    await using executable = await backend.compile(builder.build());
    using scope = backend.scope();
    const make = (tensor: HostTensor): DeviceTensor => scope.own(backend.write(tensor));
    const a = make(float32Tensor([2, 3]));
    const advice = 'checkRunInputs of @pare/core makes these checks.';
    await expectCode(() => executable.run({ a }), 'PARE_TENSOR_MISMATCH', `An input is missing. ${advice}`);
    await expectCode(() => executable.run({ a, b: make(float32Tensor([2, 4])) }), 'PARE_TENSOR_MISMATCH', `A fixed size is wrong. ${advice}`);
    await expectCode(() => executable.run({ a, b: make(float32Tensor([6])) }), 'PARE_TENSOR_MISMATCH', `The rank is wrong. ${advice}`);
    await expectCode(() => executable.run({ a, b: make(hostTensor('int32', [2, 3])) }), 'PARE_TENSOR_MISMATCH', `The type is wrong. ${advice}`);
    await expectCode(() => executable.run({ a, b: make(float32Tensor([1, 3])) }), 'PARE_TENSOR_MISMATCH', `Dimension n is 2 and 1. ${advice}`);
    await expectCode(() => executable.run({ a, b: a, c: a }), 'PARE_TENSOR_MISMATCH', `The graph has no input c. ${advice}`);
  });

  it('names every operator that it lacks', async () => {
    const backend = subject.backend();
    const graph: Graph = {
      name: 'strange',
      inputs: [{ name: 'x', dtype: 'float32', shape: [3] }],
      outputs: [{ name: 'y', dtype: 'float32', shape: [3] }],
      initializers: new Map(),
      nodes: [
        { operator: 'Frobnicate', domain: '', name: 'first', inputs: ['x'], outputs: ['m'], attributes: {} },
        { operator: 'Twiddle', domain: 'com.example', name: 'second', inputs: ['m'], outputs: ['y'], attributes: {} },
      ],
      opsets: { '': 21, 'com.example': 1 },
    };
    const lacking = backend.unsupported(graph);
    expect(lacking.map(({ operator, domain, node }) => [operator, domain, node])).toEqual([
      ['Frobnicate', '', 'first'],
      ['Twiddle', 'com.example', 'second'],
    ]);
    const error = await errorOf(backend.compile(graph));
    expect(isPareError(error) && error.code).toBe('PARE_OPERATOR_UNSUPPORTED');
    expect(String(error)).toMatch(/Frobnicate.*Twiddle/s);
  });

  it('refuses graphs that break the rules of their operators', async () => {
    const backend = subject.backend();
    const graph: Graph = {
      name: 'broken',
      inputs: [{ name: 'x', dtype: 'float32', shape: [2, 3] }],
      outputs: [{ name: 'y', dtype: 'float32', shape: undefined }],
      initializers: new Map(),
      nodes: [{ operator: 'MatMul', domain: '', name: 'square', inputs: ['x', 'x'], outputs: ['y'], attributes: {} }],
      opsets: { '': 21 },
    };
    await expectCode(backend.compile(graph), 'PARE_GRAPH_INVALID', 'inferTypes of @pare/graph checks a graph; call it in compile.');
  });

  it('refuses to start when the signal has fired already', async () => {
    const backend = subject.backend();
    await using executable = await backend.compile(rowsGraph());
    using x = backend.write(float32Tensor([1, 3]));
    using bias = backend.write(row);
    await expectCode(() => executable.run({ x, row: bias }, { signal: AbortSignal.abort() }), 'PARE_ABORTED', 'throwIfAborted of @pare/core checks a signal.');
  });

  it('gives up or finishes when the signal fires during a run, and leaves nothing behind', async () => {
    const backend = subject.backend();
    await using executable = await backend.compile(longGraph());
    using x = backend.write(values([128, 128]));
    const controller = new AbortController();
    const run = executable.run({ x }, { signal: controller.signal });
    setTimeout(() => {
      controller.abort();
    }, 5);
    const outcome = await run.catch((error: unknown) => error);
    if (outcome instanceof Error) expect(isPareError(outcome) && outcome.code).toBe('PARE_ABORTED');
    else for (const tensor of Object.values(outcome as Record<string, DeviceTensor>)) tensor[Symbol.dispose]();
  });

  it('refuses to run an executable that was disposed', async () => {
    const backend = subject.backend();
    const executable = await backend.compile(rowsGraph());
    await executable[Symbol.asyncDispose]();
    using x = backend.write(float32Tensor([1, 3]));
    using bias = backend.write(row);
    await expectCode(() => executable.run({ x, row: bias }), 'PARE_BACKEND_RUN_FAILED', 'Say that the executable was disposed.');
  });

  it('disposes what a scope owns and leaves what it keeps, across awaits', async () => {
    const backend = subject.backend();
    let kept: DeviceTensor;
    let owned: DeviceTensor;
    {
      using scope = backend.scope();
      owned = scope.own(backend.write(row));
      kept = scope.own(backend.write(row));
      await backend.synchronize();
      scope.keep(kept);
      scope.own(backend.write(row))[Symbol.dispose]();
    }
    expect([owned.disposed, kept.disposed]).toEqual([true, false]);
    expectTensor(await backend.read(kept), row);
    kept[Symbol.dispose]();
  });

  it('reports memory: what lives now and the most there was', async () => {
    const backend = await subject.makeBackend();
    try {
      expect(backend.memory()).toEqual({ tensors: 0, bytes: 0, peakBytes: 0 });
      const a = backend.allocate('float32', [1000]);
      const b = backend.write(values([500]));
      expect(backend.memory()).toEqual({ tensors: 2, bytes: 6000, peakBytes: 6000 });
      a[Symbol.dispose]();
      a[Symbol.dispose]();
      expect(backend.memory(), 'disposing twice must count once').toEqual({ tensors: 1, bytes: 2000, peakBytes: 6000 });
      b[Symbol.dispose]();
      await backend.synchronize();
      expect(backend.memory()).toEqual({ tensors: 0, bytes: 0, peakBytes: 6000 });
    } finally {
      await backend[Symbol.asyncDispose]();
    }
  });

  it('has no capability that nobody knows', () => {
    expect(subject.backend().capability(capabilityRef('pare.conformance.no-such-capability'))).toBeUndefined();
  });
}
