import { capabilityRef, float32Tensor, hostTensor, int64Tensor, isPareError, type Backend, type DeviceTensor, type Executable, type Graph, type HostTensor } from '@pare/core';
import { GraphBuilder } from '@pare/graph';
import { columnSolver } from '@pare/solvers';
import { afterAll, beforeAll, expect, it, describe } from 'vitest';
import { cpuBackend } from './index.js';

const silent = { debug() {}, info() {}, warn() {}, error() {} };
const open = (threads = 0): Promise<Backend> => cpuBackend.create({ threads }, { log: silent });

/** y = x·w for x [rows, inner], w [inner, columns]. */
function productGraph(): Graph {
  const builder = new GraphBuilder('product');
  const x = builder.input('x', 'float32', ['rows', 'inner']);
  const w = builder.input('w', 'float32', ['inner', 'columns']);
  builder.output(builder.matmul(x, w), 'y');
  return builder.build();
}

/** Values in −0.5 … 0.5 that look random and are always the same. */
function noise(length: number): Float32Array {
  let state = 12345;
  return Float32Array.from({ length }, () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32 - 0.5;
  });
}

async function caught(promise: Promise<unknown>): Promise<{ code: string; message: string; help: string }> {
  const error: unknown = await promise.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  if (!isPareError(error)) throw new Error(`expected a PareError, got ${String(error)}`);
  return error;
}

function thrown(action: () => unknown): string {
  try {
    action();
  } catch (error) {
    if (isPareError(error)) return error.code;
    throw error;
  }
  return 'nothing';
}

describe('with one open backend', () => {
  let backend: Backend;
  let product: Executable;
  const left: DeviceTensor[] = [];
  /** Writes a tensor that is disposed after the tests. */
  const put = (tensor: HostTensor): DeviceTensor => {
    const written = backend.write(tensor);
    left.push(written);
    return written;
  };

  beforeAll(async () => {
    backend = await open();
    product = await backend.compile(productGraph());
  });

  afterAll(async () => {
    for (const tensor of left) tensor[Symbol.dispose]();
    expect(backend.memory()).toMatchObject({ tensors: 0, bytes: 0 });
    await product[Symbol.asyncDispose]();
    await backend[Symbol.asyncDispose]();
  });

  it('keeps the calling thread free while a graph runs', async () => {
    const size = 1024;
    using x = backend.write(float32Tensor([size, size], noise(size * size)));
    let ticks = 0;
    const timer = setInterval(() => ticks++, 1);
    const results = await Promise.all(Array.from({ length: 4 }, () => product.run({ x, w: x })));
    clearInterval(timer);
    for (const { y } of results) y![Symbol.dispose]();
    expect(ticks).toBeGreaterThan(0);
  });

  it('takes outputs of one run as inputs of the next', async () => {
    using x = backend.write(float32Tensor([2, 2], [1, 2, 3, 4]));
    using scope = backend.scope();
    const squared = scope.own((await product.run({ x, w: x }))['y']!);
    const cubed = scope.own((await product.run({ x: squared, w: x }))['y']!);
    expect((await backend.read(cubed)).data).toEqual(Float32Array.from([37, 54, 81, 118]));
  });

  it('lets symbolic dimensions differ from run to run', async () => {
    for (const [rows, inner, columns] of [[1, 3, 2], [5, 1, 1], [70_000, 4, 3], [0, 2, 2]] as const) {
      const a = noise(rows * inner);
      const b = noise(inner * columns);
      using x = backend.write(float32Tensor([rows, inner], a));
      using w = backend.write(float32Tensor([inner, columns], b));
      const { y } = await product.run({ x, w });
      using result = y!;
      expect(result.shape).toEqual([rows, columns]);
      const { data } = await backend.read(result);
      for (const row of [0, rows >> 1, rows - 1].filter((index) => index >= 0 && index < rows)) {
        for (let column = 0; column < columns; column++) {
          let sum = 0;
          for (let k = 0; k < inner; k++) sum += a[row * inner + k]! * b[k * columns + column]!;
          expect(data[row * columns + column]).toBeCloseTo(sum, 5);
        }
      }
    }
  });

  it('computes tensors of more than 65,535 rows right to the last one', async () => {
    const builder = new GraphBuilder('row norms');
    const x = builder.input('x', 'float32', ['rows', 2]);
    builder.output(builder.sqrt(builder.reduceSum(builder.mul(x, x), [1])), 'norms');
    await using norms = await backend.compile(builder.build());
    const rows = 200_001;
    using input = backend.write(float32Tensor([rows, 2], Float32Array.from({ length: 2 * rows }, (_, index) => (index % 2 === 0 ? 3 : 4) * ((index >> 1) % 7))));
    const outputs = await norms.run({ x: input });
    using result = outputs['norms']!;
    const { data } = await backend.read(result);
    expect(data.every((value, row) => value === 5 * (row % 7))).toBe(true);
  });

  it('gives the same bits for the same inputs', async () => {
    using x = backend.write(float32Tensor([300, 257], noise(300 * 257)));
    using w = backend.write(float32Tensor([257, 129], noise(257 * 129)));
    const runs = await Promise.all([product.run({ x, w }), product.run({ x, w }), product.run({ x, w })]);
    const bits = await Promise.all(runs.map(async ({ y }) => new Uint32Array((await backend.read(y!)).data.buffer)));
    for (const { y } of runs) y![Symbol.dispose]();
    expect(bits[1]).toEqual(bits[0]);
    expect(bits[2]).toEqual(bits[0]);
  });

  it('runs what is handed in at the same time in order', async () => {
    using big = backend.write(float32Tensor([512, 512], noise(512 * 512)));
    using small = backend.write(float32Tensor([1, 1], [2]));
    const done: string[] = [];
    const note = async (name: string, input: DeviceTensor): Promise<void> => {
      const { y } = await product.run({ x: input, w: input });
      y![Symbol.dispose]();
      done.push(name);
    };
    await Promise.all([note('first', big), note('second', small), note('third', big), note('fourth', small)]);
    expect(done).toEqual(['first', 'second', 'third', 'fourth']);
  });

  it('copies what it writes, and takes the array when asked', async () => {
    const data = Float32Array.from([1, 2, 3, 4]);
    using copied = backend.write(float32Tensor([4], data));
    using part = backend.write(float32Tensor([2], data.subarray(1, 3)));
    using partGiven = backend.write(float32Tensor([2], data.subarray(2)), { transfer: true });
    data.fill(0);
    expect((await backend.read(copied)).data).toEqual(Float32Array.from([1, 2, 3, 4]));
    expect((await backend.read(part)).data).toEqual(Float32Array.from([2, 3]));
    expect((await backend.read(partGiven)).data).toEqual(Float32Array.from([3, 4]));
    expect(data.length).toBe(4);
    const given = Float32Array.from([5, 6]);
    using moved = backend.write(float32Tensor([2], given), { transfer: true });
    expect(given.length).toBe(0);
    expect((await backend.read(moved)).data).toEqual(Float32Array.from([5, 6]));
  });

  it('copies memory that cannot be detached', async () => {
    const { WebAssembly } = globalThis as unknown as { WebAssembly: { Memory: new (size: { initial: number }) => { readonly buffer: ArrayBuffer } } };
    const memory = new Float32Array(new WebAssembly.Memory({ initial: 1 }).buffer);
    memory[0] = 7;
    using tensor = backend.write(float32Tensor([memory.length], memory), { transfer: true });
    expect((await backend.read(tensor)).data[0]).toBe(7);
    expect(memory[0]).toBe(7);
  });

  it('reads copies', async () => {
    using tensor = backend.write(float32Tensor([1], [1]));
    const first = await backend.read(tensor);
    first.data[0] = 9;
    expect((await backend.read(tensor)).data[0]).toBe(1);
  });

  it('reports memory', () => {
    const before = backend.memory();
    const zeros = backend.allocate('float64', [3, 5]);
    const nibbles = backend.write(hostTensor('uint4', [3], Uint8Array.from([0x21, 0x03])));
    expect(zeros.byteLength).toBe(120);
    expect(nibbles.byteLength).toBe(2);
    expect(backend.memory()).toMatchObject({ tensors: before.tensors + 2, bytes: before.bytes + 122 });
    zeros[Symbol.dispose]();
    zeros[Symbol.dispose]();
    nibbles[Symbol.dispose]();
    expect(backend.memory()).toMatchObject({ tensors: before.tensors, bytes: before.bytes });
    expect(backend.memory().peakBytes).toBeGreaterThanOrEqual(before.bytes + 122);
  });

  it('refuses inputs that do not fit', async () => {
    using x = backend.write(float32Tensor([2, 3], new Float32Array(6)));
    using w = backend.write(float32Tensor([4, 5], new Float32Array(20)));
    using integers = backend.write(int64Tensor([3, 2], [1, 2, 3, 4, 5, 6]));
    using vector = backend.write(float32Tensor([3], new Float32Array(3)));
    const other = await open(1);
    using foreign = other.write(float32Tensor([3, 2], new Float32Array(6)));
    for (const [inputs, found, expected] of [
      [{ x, w }, 'float32 [4, 5]', 'inner is 3, as in input "x"'],
      [{ x, w: integers }, 'int64 [3, 2]', 'float32 [inner, columns]'],
      [{ x, w: vector }, 'float32 [3]', 'float32 [inner, columns]'],
      [{ x }, 'nothing', 'float32'],
      [{ x, w: foreign }, 'another backend', 'that the backend of this graph made'],
    ] as const) {
      const error = await caught(product.run(inputs));
      expect(error.code).toBe('PARE_TENSOR_MISMATCH');
      expect(error.message).toContain('input "w"');
      expect(error.message).toContain(found);
      expect(error.help).toContain(expected);
    }
    expect((await caught(backend.read(foreign))).code).toBe('PARE_TENSOR_MISMATCH');
    foreign[Symbol.dispose]();
    await other[Symbol.asyncDispose]();
  });

  it('refuses disposed tensors', async () => {
    const gone = backend.write(float32Tensor([1, 1], [1]));
    gone[Symbol.dispose]();
    expect((await caught(product.run({ x: gone, w: gone }))).code).toBe('PARE_TENSOR_DISPOSED');
    expect((await caught(backend.read(gone))).code).toBe('PARE_TENSOR_DISPOSED');
  });

  it('reports what fails inside a run', async () => {
    const builder = new GraphBuilder('lookup');
    const table = builder.input('table', 'float32', ['n']);
    builder.output(builder.gather(table, builder.input('index', 'int64', ['k'])), 'found');
    await using lookup = await backend.compile(builder.build());
    const error = await caught(lookup.run({ table: put(float32Tensor([2], [1, 2])), index: put(int64Tensor([1], [2])) }));
    expect(error.code).toBe('PARE_BACKEND_RUN_FAILED');
    expect(error.message).toContain('Gather');
  });

  it('tells of memory that is not there when the tensor is used', async () => {
    using huge = backend.allocate('float64', [2 ** 45]);
    expect((await caught(backend.read(huge))).code).toBe('PARE_BACKEND_OUT_OF_MEMORY');
  });

  it('computes only the outputs asked for', async () => {
    const builder = new GraphBuilder('two outputs');
    const x = builder.input('x', 'float32', ['n']);
    const index = builder.input('index', 'int64', ['k']);
    builder.output(builder.add(x, 1), 'sum');
    builder.output(builder.gather(x, index), 'picked');
    await using both = await backend.compile(builder.build());
    using values = backend.write(float32Tensor([2], [1, 2]));
    using outside = backend.write(int64Tensor([1], [5]));
    // The gather would fail, so the sum alone shows that it is not computed.
    const outputs = await both.run({ x: values, index: outside }, { outputs: ['sum'] });
    expect(Object.keys(outputs)).toEqual(['sum']);
    expect((await backend.read(outputs['sum']!)).data).toEqual(Float32Array.from([2, 3]));
    outputs['sum']![Symbol.dispose]();
    expect((await caught(both.run({ x: values, index: outside }))).code).toBe('PARE_BACKEND_RUN_FAILED');
    expect(await both.run({ x: values, index: outside }, { outputs: [] })).toEqual({});
    expect((await caught(both.run({ x: values, index: outside }, { outputs: ['product'] }))).message).toContain('an output that the graph lacks');
  });

  it('passes bfloat16 and 4-bit tensors in and out', async () => {
    const builder = new GraphBuilder('narrow types');
    builder.output(builder.cast(builder.input('b', 'bfloat16', ['n']), 'float32'), 'fromB');
    builder.output(builder.cast(builder.input('i', 'int4', ['m']), 'float32'), 'fromI');
    builder.output(builder.cast(builder.input('u', 'uint4', ['m']), 'float32'), 'fromU');
    const f = builder.input('f', 'float32', ['k']);
    for (const dtype of ['bfloat16', 'int4', 'uint4'] as const) builder.output(builder.cast(f, dtype), `to ${dtype}`);
    await using casts = await backend.compile(builder.build());
    const outputs = await casts.run({
      b: put(hostTensor('bfloat16', [3], Uint16Array.from([0x3f80, 0xc040, 0x7f80]))),
      i: put(hostTensor('int4', [3], Uint8Array.from([0x8f, 0x07]))),
      u: put(hostTensor('uint4', [3], Uint8Array.from([0x8f, 0x07]))),
      f: put(float32Tensor([3], [1, 3, 7])),
    });
    const read = async (name: string): Promise<number[]> => {
      using tensor = outputs[name]!;
      return Array.from((await backend.read(tensor)).data, Number);
    };
    expect(await read('fromB')).toEqual([1, -3, Infinity]);
    expect(await read('fromI')).toEqual([-1, -8, 7]);
    expect(await read('fromU')).toEqual([15, 8, 7]);
    expect(outputs['to int4']).toMatchObject({ dtype: 'int4', shape: [3], byteLength: 2 });
    expect(await read('to bfloat16')).toEqual([0x3f80, 0x4040, 0x40e0]);
    expect(await read('to int4')).toEqual([0x31, 0x07]);
    expect(await read('to uint4')).toEqual([0x31, 0x07]);
  });

  it('hands an input through', async () => {
    const builder = new GraphBuilder('through');
    builder.output(builder.op('Identity', [builder.input('x', 'float32', ['n'])]), 'y');
    await using through = await backend.compile(builder.build());
    const x = backend.write(float32Tensor([2], [1, 2]));
    const { y } = await through.run({ x });
    x[Symbol.dispose]();
    using result = y!;
    expect((await backend.read(result)).data).toEqual(Float32Array.from([1, 2]));
  });

  it('reads constants on demand', async () => {
    const builder = new GraphBuilder('lazy');
    const x = builder.input('x', 'float32', [2]);
    let reads = 0;
    const weight = builder.initializer('weight', {
      dtype: 'float32',
      shape: [2],
      read() {
        reads++;
        return Promise.resolve(new Uint8Array(Float32Array.from([10, 20]).buffer));
      },
    });
    builder.output(builder.mul(x, weight), 'y');
    await using lazy = await backend.compile(builder.build());
    expect(reads).toBe(1);
    const { y } = await lazy.run({ x: put(float32Tensor([2], [1, 2])) });
    using result = y!;
    expect((await backend.read(result)).data).toEqual(Float32Array.from([10, 40]));
  });

  it('names operators it lacks', async () => {
    const builder = new GraphBuilder('doubles');
    builder.output(builder.erf(builder.input('x', 'float64', ['n'])), 'y');
    const graph = builder.build();
    expect(backend.unsupported(graph)).toMatchObject([{ operator: 'Erf', domain: '' }]);
    const error = await caught(backend.compile(graph));
    expect(error.code).toBe('PARE_OPERATOR_UNSUPPORTED');
    expect(error.message).toContain('Erf');
    expect(error.message).toContain('float64');
  });

  it('refuses a run whose signal has fired', async () => {
    using x = backend.write(float32Tensor([1, 1], [1]));
    expect((await caught(product.run({ x, w: x }, { signal: AbortSignal.abort() }))).code).toBe('PARE_ABORTED');
  });

  it('rejects runs that are cancelled while they wait or work, and keeps nothing of them', async () => {
    using x = backend.write(float32Tensor([1024, 1024], noise(1024 * 1024)));
    const before = backend.memory();
    const controller = new AbortController();
    const first = product.run({ x, w: x });
    const second = caught(product.run({ x, w: x }, { signal: controller.signal }));
    const third = caught(product.run({ x, w: x }, { signal: controller.signal }));
    controller.abort(new Error('enough'));
    (await first)['y']![Symbol.dispose]();
    expect((await second).code).toBe('PARE_ABORTED');
    expect((await third).code).toBe('PARE_ABORTED');
    expect(backend.memory()).toMatchObject({ tensors: before.tensors, bytes: before.bytes });
    // The backend is none the worse for it.
    const { y } = await product.run({ x, w: x });
    y![Symbol.dispose]();
  });

  it('refuses to run a disposed executable', async () => {
    const executable = await backend.compile(productGraph());
    await executable[Symbol.asyncDispose]();
    await executable[Symbol.asyncDispose]();
    using x = backend.write(float32Tensor([1, 1], [1]));
    expect((await caught(executable.run({ x, w: x }))).code).toBe('PARE_BACKEND_RUN_FAILED');
  });
});

it('ends while it is busy, rejecting what waits', async () => {
  const backend = await open();
  const product = await backend.compile(productGraph());
  const x = backend.write(float32Tensor([1024, 1024], noise(1024 * 1024)));
  const waiting = [caught(product.run({ x, w: x })), caught(product.run({ x, w: x })), caught(backend.read(x)), caught(backend.synchronize())];
  await backend[Symbol.asyncDispose]();
  await backend[Symbol.asyncDispose]();
  expect((await Promise.all(waiting)).map((error) => error.code)).toEqual(Array.from({ length: 4 }, () => 'PARE_BACKEND_LOST'));
  expect((await caught(product.run({ x, w: x }))).code).toBe('PARE_BACKEND_LOST');
  expect((await caught(backend.compile(productGraph()))).code).toBe('PARE_BACKEND_LOST');
  expect(thrown(() => backend.allocate('float32', [1]))).toBe('PARE_BACKEND_LOST');
  expect(thrown(() => backend.write(float32Tensor([1], [1])))).toBe('PARE_BACKEND_LOST');
  x[Symbol.dispose]();
  await product[Symbol.asyncDispose]();
});

it('brings the column solver, once', async () => {
  const backend = await open(1);
  const solver = backend.capability(columnSolver);
  expect(solver).toBeDefined();
  expect(backend.capability(columnSolver)).toBe(solver);
  expect(backend.capability(capabilityRef('pare.nothing'))).toBeUndefined();
  const factor = await solver!.factorize({ gram: Float32Array.from([2, 0, 0, 2]), size: 2, damping: 0.01, dampingIncrement: 0.01, actOrder: false });
  expect(factor.size).toBe(2);
  await backend[Symbol.asyncDispose]();
  expect(backend.capability(columnSolver)).toBeUndefined();
});

it('opens again after it ended', async () => {
  for (let round = 0; round < 3; round++) {
    await using backend = await open(1);
    using x = backend.write(float32Tensor([1, 1], [round]));
    await using product = await backend.compile(productGraph());
    const { y } = await product.run({ x, w: x });
    using result = y!;
    expect((await backend.read(result)).data[0]).toBe(round * round);
  }
});

it('loads nothing of onnxruntime in the calling thread', async () => {
  const { createRequire } = await import('node:module');
  await using backend = await open(1);
  await backend.synchronize();
  expect(Object.keys(createRequire(import.meta.url).cache).filter((file) => file.includes('onnxruntime'))).toEqual([]);
});
