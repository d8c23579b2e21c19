import { mkdtemp, readdir, readFile, rename, rm, stat, symlink, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { float32Tensor, isHostInitializer, isPareError, type Graph, type HostTensor, type LazyTensor } from '@pare/core';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { GraphBuilder } from '../builder.js';
import { decodeOnnx } from '../onnx/decode.js';
import { encodeOnnx } from '../onnx/encode.js';
import type { ChunkedTensor } from '../types/chunked-tensor.js';
import { readOnnxFile } from './read-onnx-file.js';
import { writeOnnxFile } from './write-onnx-file.js';

let folder: string;
let path: string;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'pare-graph-'));
  path = join(folder, 'model.onnx');
});
afterEach(async () => {
  await rm(folder, { recursive: true });
});

const ramp = (count: number, start: number): Float32Array => Float32Array.from({ length: count }, (_, index) => start + index);

/** Three weights of 16, 4 and 4 KiB and a small bias, one of them lazy. */
function network(lazy: (tensor: HostTensor) => LazyTensor | HostTensor = (tensor) => tensor): Graph {
  const b = new GraphBuilder('network');
  const x = b.input('x', 'float32', ['n', 64]);
  const first = b.matmul(x, b.initializer('first', lazy(float32Tensor([64, 64], ramp(4096, 0)))));
  const second = b.matmul(first, b.initializer('second', float32Tensor([64, 16], ramp(1024, 0.5))));
  const third = b.matmul(second, b.initializer('third', float32Tensor([16, 64], ramp(1024, -7))));
  b.output(b.add(third, b.initializer('bias', float32Tensor([64], ramp(64, 1)))), 'y');
  return b.build();
}

const bytesOf = (tensor: HostTensor): Uint8Array => new Uint8Array(tensor.data.buffer, tensor.data.byteOffset, tensor.data.byteLength);
const lazily = (tensor: HostTensor): LazyTensor => ({ dtype: tensor.dtype, shape: tensor.shape, read: () => Promise.resolve(bytesOf(tensor)) });

/** The graph with every initializer loaded. */
async function loaded(graph: Graph): Promise<Graph> {
  const initializers = new Map<string, HostTensor>();
  for (const [name, initializer] of graph.initializers) {
    if (isHostInitializer(initializer)) initializers.set(name, initializer);
    else initializers.set(name, float32Tensor(initializer.shape, new Float32Array((await initializer.read()).buffer)));
  }
  return { ...graph, initializers };
}

async function messageOf(action: Promise<unknown>): Promise<string> {
  try {
    await action;
  } catch (error) {
    if (isPareError(error)) return `${error.code} ${error.message}`;
    throw error;
  }
  return 'nothing was thrown';
}

describe('one file', () => {
  it('holds what encodeOnnx gives, lazy tensors included', async () => {
    expect(await writeOnnxFile(network(lazily), path)).toEqual([{ path, bytes: encodeOnnx(network()).byteLength }]);
    expect(new Uint8Array(await readFile(path))).toEqual(encodeOnnx(network()));
    expect(decodeOnnx(new Uint8Array(await readFile(path)))).toEqual(network());
  });

  it('is read with large tensors left in it', async () => {
    await writeOnnxFile(network(), path);
    const graph = await readOnnxFile(path, { lazyBytes: 4096 });
    expect([...graph.initializers].map(([name, tensor]) => [name, isHostInitializer(tensor)])).toEqual([
      ['first', false],
      ['second', false],
      ['third', false],
      ['bias', true],
    ]);
    expect(await loaded(graph)).toEqual(network());
    expect(await loaded(await readOnnxFile(path))).toEqual(network());
    expect(await loaded(await readOnnxFile(path, { lazyBytes: 1 }))).toEqual(network());
  });

  it('is rewritten from its own lazy tensors, which then refuse the new file', async () => {
    await writeOnnxFile(network(), path);
    const graph = await readOnnxFile(path, { lazyBytes: 4096 });
    await writeOnnxFile(graph, path, { externalData: { fileName: 'model.onnx_data' } });
    expect(await loaded(await readOnnxFile(path))).toEqual(network());
    expect(await messageOf((graph.initializers.get('first') as LazyTensor).read())).toContain('it was changed after the model was opened');
  });
});

describe('external data', () => {
  it('holds tensors from the threshold on, aligned', async () => {
    const files = await writeOnnxFile(network(lazily), path, { externalData: { fileName: 'weights.bin' } });
    expect(files.map((file) => file.path)).toEqual([path, join(folder, 'weights.bin')]);
    expect(files[1]!.bytes).toBe(16384 + 4096 + 4096);
    for (const file of files) expect((await stat(file.path)).size).toBe(file.bytes);
    expect((await readdir(folder)).sort()).toEqual(['model.onnx', 'weights.bin']);
    expect(await loaded(await readOnnxFile(path))).toEqual(network());
    expect(await loaded(await readOnnxFile(path, { lazyBytes: 1 }))).toEqual(network());
  });

  it('is split into files of a largest size', async () => {
    const files = await writeOnnxFile(network(), path, { externalData: { fileName: 'model.onnx_data', thresholdBytes: 1, maximumFileBytes: 8192 } });
    expect(files.slice(1).map((file) => [file.path.slice(folder.length + 1), file.bytes])).toEqual([
      ['model.onnx_data', 16384],
      ['model.onnx_data_1', 8192],
      ['model.onnx_data_2', 256],
    ]);
    expect(await loaded(await readOnnxFile(path))).toEqual(network());
  });

  it('begins large tensors at a page', async () => {
    const b = new GraphBuilder('pages');
    const x = b.input('x', 'float32', [1, 512]);
    const small = b.initializer('small', float32Tensor([300], ramp(300, 0)));
    const large = b.initializer('large', float32Tensor([512, 512], ramp(512 * 512, 0)));
    b.output(b.matmul(x, large), 'y');
    b.output(b.exp(small), 'z');
    const graph = b.build();
    const [, data] = await writeOnnxFile(graph, path, { externalData: { fileName: 'data' } });
    expect(data!.bytes).toBe(4096 + 2 ** 20);
    expect(await loaded(await readOnnxFile(path))).toEqual(graph);
  });

  it('takes tensors in chunks', async () => {
    let chunks = 0;
    const chunked: ChunkedTensor = {
      dtype: 'float32',
      shape: [64, 64],
      read: () => Promise.reject(new Error('read whole')),
      async *chunks() {
        for (let row = 0; row < 64; row++) {
          chunks++;
          yield bytesOf(float32Tensor([64], ramp(64, row * 64)));
          await Promise.resolve();
        }
      },
    };
    await writeOnnxFile(network(() => chunked), path, { externalData: { fileName: 'data' } });
    expect(chunks).toBe(64);
    const graph = await readOnnxFile(path, { lazyBytes: 1024 });
    expect(await loaded(graph)).toEqual(network());
    const again: Uint8Array[] = [];
    for await (const chunk of (graph.initializers.get('first') as ChunkedTensor).chunks()) again.push(chunk);
    expect(Buffer.concat(again)).toEqual(Buffer.from(ramp(4096, 0).buffer));
  });

  it('is found through symbolic links', async () => {
    await writeOnnxFile(network(), path, { externalData: { fileName: 'data' } });
    await rename(join(folder, 'data'), join(folder, 'blob'));
    await symlink(join(folder, 'blob'), join(folder, 'data'));
    expect(await loaded(await readOnnxFile(path))).toEqual(network());
  });
});

describe('errors of reading', () => {
  it('name the missing file', async () => {
    expect(await messageOf(readOnnxFile(path))).toBe(`PARE_FILE_UNREADABLE cannot read ${path}: there is no such file`);
    expect(await messageOf(readOnnxFile(folder))).toBe(`PARE_FILE_UNREADABLE cannot read ${folder}: it is a folder`);
    await writeOnnxFile(network(), path, { externalData: { fileName: 'data' } });
    await rm(join(folder, 'data'));
    expect(await messageOf(readOnnxFile(path))).toContain(`cannot read ${join(folder, 'data')}: there is no such file`);
  });

  it('come for every truncation of the model', async () => {
    await writeOnnxFile(network(), path);
    const { size } = await stat(path);
    for (let length = size - 1; length >= 0; length -= 911) {
      await truncate(path, length);
      expect(await messageOf(readOnnxFile(path, { lazyBytes: 64 }))).toMatch(/^PARE_(FILE_UNREADABLE|GRAPH_INVALID)/);
    }
  });

  it('come for truncated external data, before anything is read', async () => {
    await writeOnnxFile(network(), path, { externalData: { fileName: 'data' } });
    await truncate(join(folder, 'data'), 20000);
    expect(await messageOf(readOnnxFile(path))).toContain('it has 20000 bytes, the model needs 24576');
  });

  it('come for noise', async () => {
    for (let seed = 1; seed <= 50; seed++) {
      await writeFile(path, Uint8Array.from({ length: 400 }, (_, index) => Math.imul(seed * 7919 + index, 2654435761) >>> 24));
      expect(await messageOf(readOnnxFile(path, { lazyBytes: 8 }))).toMatch(/^PARE_(FILE_UNREADABLE|GRAPH_INVALID)/);
    }
  });

  it('come for locations outside the folder', async () => {
    await writeFile(join(folder, 'secret'), new Uint8Array(16384));
    await writeOnnxFile(network(), path, { externalData: { fileName: 'xx_secret', thresholdBytes: 16384 } });
    const text = Buffer.from(await readFile(path)).toString('latin1').replace('xx_secret', '../secret');
    await writeFile(path, Buffer.from(text, 'latin1'));
    expect(await messageOf(readOnnxFile(path))).toContain('PARE_GRAPH_INVALID graph "network", node initializer "first": its data lies in "../secret"');
  });
});

describe('errors of writing', () => {
  it('leave nothing behind', async () => {
    const short: LazyTensor = { dtype: 'float32', shape: [64, 64], read: () => Promise.resolve(new Uint8Array(100)) };
    expect(await messageOf(writeOnnxFile(network(() => short), path))).toContain('a lazy initializer: it yielded 100 bytes, its shape needs 16384');
    expect(await messageOf(writeOnnxFile(network(() => short), path, { externalData: { fileName: 'data' } }))).toContain('initializer "first": it yielded 100 bytes');
    const failing: LazyTensor = { dtype: 'float32', shape: [64, 64], read: () => Promise.reject(new Error('source is gone')) };
    await expect(writeOnnxFile(network(() => failing), path)).rejects.toThrow('source is gone');
    expect(await readdir(folder)).toEqual([]);
  });

  it('keep the earlier file', async () => {
    await writeFile(path, 'earlier');
    const failing: LazyTensor = { dtype: 'float32', shape: [64, 64], read: () => Promise.reject(new Error('source is gone')) };
    await expect(writeOnnxFile(network(() => failing), path)).rejects.toThrow('source is gone');
    expect(await readFile(path, 'utf8')).toBe('earlier');
  });

  it('name the folder or the file name', async () => {
    const nowhere = join(folder, 'missing', 'model.onnx');
    expect(await messageOf(writeOnnxFile(network(), nowhere))).toBe(`PARE_FILE_UNWRITABLE cannot write ${nowhere}: there is no folder ${join(folder, 'missing')}`);
    for (const fileName of ['../data', 'a/b', '']) expect(await messageOf(writeOnnxFile(network(), path, { externalData: { fileName } }))).toContain('a plain name beside the model is needed');
  });
});
