import { float32Tensor, hostTensor, isPareError, type DType, type HostTensor } from '@pare/core';
import { mkdir, mkdtemp, readFile, rm, symlink, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { firstNotFinite, requireFinite } from './finite.js';
import { SafetensorsFile } from './safetensors-file.js';
import { layOut, tensorEntry, writeLayout, writeSafetensors } from './safetensors-writer.js';
import { isInsideFolder } from './shard-index.js';
import { defaultShardBytes, writeShardedSafetensors } from './sharded-writer.js';
import { TensorStore } from './tensor-store.js';
import { requireDiskSpace } from './disk.js';

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'pare-store-'));
});
afterAll(() => rm(folder, { recursive: true }));

let counter = 0;
/** Writes a file of any header and data bytes. The length field tells the truth unless told otherwise. */
async function rawFile(header: unknown, dataBytes: number, claimedLength?: bigint): Promise<string> {
  const json = Buffer.from(typeof header === 'string' ? header : JSON.stringify(header));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(claimedLength ?? BigInt(json.length));
  const path = join(folder, `raw-${String(counter++)}.safetensors`);
  await writeFile(path, Buffer.concat([length, json, Buffer.alloc(dataBytes)]));
  return path;
}

async function failure(action: Promise<unknown>): Promise<{ code: string; message: string; help: string }> {
  const error: unknown = await action.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  if (!isPareError(error)) throw new Error(`expected a PareError, got ${String(error)}`);
  return error;
}

const entry = (begin: number, end: number, shape = [(end - begin) / 4], dtype = 'F32') => ({ dtype, shape, data_offsets: [begin, end] });

describe('SafetensorsFile', () => {
  const samples: [DType, HostTensor['data']][] = [
    ['float64', Float64Array.of(1.5, -2)],
    ['float32', Float32Array.of(0.1, 3)],
    ['float16', Uint16Array.of(0x3c00, 0xc000)],
    ['bfloat16', Uint16Array.of(0x3f80, 0xc000)],
    ['int64', BigInt64Array.of(-(2n ** 60n), 5n)],
    ['int32', Int32Array.of(-7, 8)],
    ['int16', Int16Array.of(-300, 300)],
    ['int8', Int8Array.of(-128, 127)],
    ['uint64', BigUint64Array.of(2n ** 63n, 1n)],
    ['uint32', Uint32Array.of(2 ** 31, 1)],
    ['uint16', Uint16Array.of(65535, 1)],
    ['uint8', Uint8Array.of(255, 0)],
    ['bool', Uint8Array.of(1, 0)],
  ];

  it('reads back every type as written, and ranges of it', async () => {
    const path = join(folder, 'types.safetensors');
    const entries = samples.map(([dtype, data]) => tensorEntry(`t.${dtype}`, hostTensor(dtype, [2, 1], data)));
    entries.push(tensorEntry('scalar', float32Tensor([], [4])), tensorEntry('empty', float32Tensor([0, 3], [])));
    const written = await writeSafetensors(path, entries, { format: 'pt', note: 'ü' });
    await using file = await SafetensorsFile.open(path);
    expect(written.bytes).toBe((await readFile(path)).length);
    expect(file.metadata).toEqual({ format: 'pt', note: 'ü' });
    for (const [dtype, data] of samples) expect(await file.read(`t.${dtype}`)).toEqual({ dtype, shape: [2, 1], data });
    expect(await file.read('scalar')).toEqual(float32Tensor([], [4]));
    expect((await file.read('empty')).data.length).toBe(0);
    expect(await file.readBytes('t.int8', 1, 2)).toEqual(Uint8Array.of(127));
    expect((await failure(file.read('t.float'))).code).toBe('PARE_TENSOR_UNKNOWN');
    await expect(file.readBytes('t.int8', 1, 3)).rejects.toThrow(RangeError);
  });

  it('reads the bytes of a file made by hand', async () => {
    // 1.0 as float32 and the int8 −1, unaligned: the header is 1 byte longer than a multiple of four.
    const header = '{"b":{"dtype":"I8","shape":[1],"data_offsets":[0,1]},"a":{"dtype":"F32","shape":[1],"data_offsets":[1,5]}} ';
    const path = await rawFile(header, 0);
    await writeFile(path, Buffer.concat([await readFile(path), Buffer.of(0xff, 0, 0, 0x80, 0x3f)]));
    await using file = await SafetensorsFile.open(path);
    expect(file.names).toEqual(['b', 'a']);
    expect((await file.read('a')).data).toEqual(Float32Array.of(1));
    expect((await file.read('b')).data).toEqual(Int8Array.of(-1));
  });

  const bad: [string, () => Promise<string>, string, RegExp][] = [
    ['a missing file', () => Promise.resolve(join(folder, 'none.safetensors')), 'PARE_FILE_UNREADABLE', /no such file/],
    [
      'a file of three bytes',
      async () => {
        const path = join(folder, 'three');
        await writeFile(path, 'abc');
        return path;
      },
      'PARE_SAFETENSORS_TRUNCATED',
      /has 3 bytes, its header needs 8/,
    ],
    ['a header beyond the file', () => rawFile('{}', 0, 4000n), 'PARE_SAFETENSORS_HEADER_BEYOND_FILE', /claims 4000 bytes, the file has 10/],
    ['a header over 100 MB', () => rawFile('{}', 0, 2n ** 62n), 'PARE_SAFETENSORS_HEADER_TOO_LARGE', /claims 4611686018427387904 bytes/],
    ['a header that is not JSON', () => rawFile('{"a":', 0), 'PARE_SAFETENSORS_HEADER_NOT_JSON', /not a JSON object/],
    ['a header that is a list', () => rawFile('[1]', 0), 'PARE_SAFETENSORS_HEADER_NOT_JSON', /it is \[1\]/],
    ['negative offsets', () => rawFile({ a: entry(-4, 0) }, 4), 'PARE_SAFETENSORS_OFFSETS_INVALID', /"a" has offsets -4…0/],
    [
      'misordered offsets',
      () => rawFile({ a: { dtype: 'F32', shape: [1], data_offsets: [4, 0] } }, 4),
      'PARE_SAFETENSORS_OFFSETS_INVALID',
      /"a" has offsets 4…0/,
    ],
    ['overlapping tensors', () => rawFile({ a: entry(0, 8), b: entry(4, 12) }, 12), 'PARE_SAFETENSORS_OFFSETS_INVALID', /"b" has offsets 4…12/],
    ['a hole', () => rawFile({ a: entry(0, 4), b: entry(8, 12) }, 12), 'PARE_SAFETENSORS_OFFSETS_INVALID', /"b" has offsets 8…12/],
    ['bytes after the last tensor', () => rawFile({ a: entry(0, 4) }, 8), 'PARE_SAFETENSORS_OFFSETS_INVALID', /"a" has offsets 0…4/],
    ['bytes but no tensor', () => rawFile({}, 8), 'PARE_SAFETENSORS_OFFSETS_INVALID', /\(none\)/],
    [
      'offsets beyond the file',
      () => rawFile({ a: entry(0, 4), b: entry(100, 104) }, 4),
      'PARE_SAFETENSORS_OFFSETS_BEYOND_FILE',
      /"b" lies at 100…104, the file holds 4/,
    ],
    ['a half-downloaded file', () => rawFile({ a: entry(0, 400) }, 100), 'PARE_SAFETENSORS_TRUNCATED', /its header needs/],
    ['a size that is not shape × type', () => rawFile({ a: entry(0, 8, [3]) }, 8), 'PARE_SAFETENSORS_SIZE_MISMATCH', /"a" spans 8 bytes, F32 \[3\] takes 12/],
    ['a wrong type size', () => rawFile({ a: entry(0, 4, [1], 'F64') }, 4), 'PARE_SAFETENSORS_SIZE_MISMATCH', /F64 \[1\] takes 8/],
    [
      'the same tensor twice',
      () => rawFile(`{"a":${JSON.stringify(entry(0, 4))},"\\u0061" \n :${JSON.stringify(entry(0, 4))}}`, 4),
      'PARE_SAFETENSORS_DUPLICATE_KEY',
      /names "a" twice/,
    ],
    [
      'the same field twice',
      () => rawFile('{"a":{"dtype":"F32","dtype":"I32","shape":[1],"data_offsets":[0,4]}}', 4),
      'PARE_SAFETENSORS_DUPLICATE_KEY',
      /names "a.dtype" twice/,
    ],
    [
      'an 8-bit float',
      () => rawFile({ a: { dtype: 'F8_E5M2', shape: [4], data_offsets: [0, 4] } }, 4),
      'PARE_SAFETENSORS_DTYPE_UNSUPPORTED',
      /"a" has type F8_E5M2/,
    ],
    ['a type named like a property of objects', () => rawFile({ a: entry(0, 4, [1], 'constructor') }, 4), 'PARE_SAFETENSORS_DTYPE_UNSUPPORTED', /constructor/],
    ['an entry without a shape', () => rawFile({ a: { dtype: 'F32', data_offsets: [0, 4] } }, 4), 'PARE_SAFETENSORS_ENTRY_INVALID', /entry "a" is/],
    ['a fractional shape', () => rawFile({ a: { dtype: 'F32', shape: [1.5], data_offsets: [0, 6] } }, 6), 'PARE_SAFETENSORS_ENTRY_INVALID', /entry "a" is/],
    ['metadata that is no text', () => rawFile({ __metadata__: { format: 1 }, a: entry(0, 4) }, 4), 'PARE_SAFETENSORS_ENTRY_INVALID', /__metadata__/],
  ];
  it.each(bad)('refuses %s', async (_, make, code, message) => {
    const path = await make();
    const error = await failure(SafetensorsFile.open(path));
    expect(error.code).toBe(code);
    expect(error.message).toMatch(message);
    expect(error.message).toContain(path);
    expect(error.help.length).toBeGreaterThan(20);
  });

  it('notices a file that shrinks after it was opened', async () => {
    const path = await rawFile({ a: entry(0, 400) }, 400);
    await using file = await SafetensorsFile.open(path);
    await truncate(path, 200);
    expect((await failure(file.read('a'))).code).toBe('PARE_SAFETENSORS_TRUNCATED');
  });

  it('stops when cancelled', async () => {
    await using file = await SafetensorsFile.open(await rawFile({ a: entry(0, 4) }, 4));
    expect((await failure(file.read('a', AbortSignal.abort()))).code).toBe('PARE_ABORTED');
  });
});

describe('writing', () => {
  it('aligns every tensor to its element size and pads the header to eight bytes', () => {
    const entries = [
      tensorEntry('b', hostTensor('int8', [3])),
      tensorEntry('c', hostTensor('int64', [1])),
      tensorEntry('a', hostTensor('bfloat16', [1])),
      tensorEntry('d', hostTensor('float32', [1])),
    ];
    const layout = layOut(entries, {});
    expect(layout.prefix.length % 8).toBe(0);
    for (const { entry: tensor, position } of layout.tensors)
      expect(position % (tensor.dtype === 'int64' ? 8 : tensor.dtype === 'float32' ? 4 : tensor.dtype === 'bfloat16' ? 2 : 1)).toBe(0);
    expect(layout.tensors.map(({ entry: tensor }) => tensor.name)).toEqual(['b', 'c', 'a', 'd']);
  });

  it('asks for tensors one at a time, in the order given', async () => {
    const calls: string[] = [];
    const make = (name: string, dtype: DType) => ({
      name,
      dtype,
      shape: [2],
      read: async () => {
        calls.push(`+${name}`);
        await Promise.resolve();
        calls.push(`-${name}`);
        return hostTensor(dtype, [2]);
      },
    });
    const progress: number[] = [];
    await writeSafetensors(join(folder, 'order.safetensors'), [make('x', 'int8'), make('y', 'float64'), make('a', 'float32')], undefined, {
      onProgress: ({ bytes, totalBytes }) => progress.push(bytes / totalBytes),
    });
    expect(calls).toEqual(['+x', '-x', '+y', '-y', '+a', '-a']);
    expect(progress).toEqual([2 / 26, 18 / 26, 1]);
  });

  it('refuses two tensors of one name and tensors of the wrong size', async () => {
    const tensor = float32Tensor([1]);
    await expect(writeSafetensors(join(folder, 'twice'), [tensorEntry('a', tensor), tensorEntry('a', tensor)])).rejects.toThrow(/given twice/);
    const lying = { name: 'a', dtype: 'float32' as const, shape: [2], read: () => Promise.resolve(tensor) };
    await expect(writeSafetensors(join(folder, 'lying'), [lying])).rejects.toThrow(/gave 4 bytes; float32 \[2\] takes 8/);
    await expect(writeSafetensors(join(folder, 'int4'), [tensorEntry('a', hostTensor('int4', [2]))])).rejects.toThrow(/no type for int4/);
  });

  it('keeps odd names', async () => {
    const path = join(folder, 'odd.safetensors');
    await writeSafetensors(path, [
      tensorEntry('__proto__', float32Tensor([1], [1])),
      tensorEntry('7', float32Tensor([1], [2])),
      tensorEntry('"é\n', float32Tensor([1], [3])),
    ]);
    await using file = await SafetensorsFile.open(path);
    expect((await file.read('__proto__')).data[0]).toBe(1);
    expect((await file.read('7')).data[0]).toBe(2);
    expect((await file.read('"é\n')).data[0]).toBe(3);
  });

  it('reports a full disk with what it needs', async () => {
    const layout = layOut([tensorEntry('a', float32Tensor([1000]))], {});
    const full = { write: () => Promise.reject(Object.assign(new Error('no space left on device'), { code: 'ENOSPC' })) };
    await expect(writeLayout(full as never, layout)).rejects.toThrow('no space');
    expect((await failure(requireDiskSpace(folder, 2 ** 60))).code).toBe('PARE_DISK_FULL');
    const huge = { name: 'a', dtype: 'float32' as const, shape: [2 ** 50], read: () => Promise.reject(new Error('must not be read')) };
    expect((await failure(writeSafetensors(join(folder, 'huge'), [huge]))).code).toBe('PARE_DISK_FULL');
    expect((await failure(writeShardedSafetensors(folder, [huge, { ...huge, name: 'b' }]))).code).toBe('PARE_DISK_FULL');
    const entries = [{ name: 'a', dtype: 'float32' as const, shape: [1], read: () => Promise.reject(Object.assign(new Error('quota'), { code: 'EDQUOT' })) }];
    expect((await failure(writeSafetensors(join(folder, 'quota'), entries))).code).toBe('PARE_DISK_FULL');
  });
});

describe('TensorStore', () => {
  const tensors = Array.from({ length: 5 }, (_, index) => tensorEntry(`layer.${String(index)}`, float32Tensor([4], [index, index, index, index])));
  const folderWith = async (name: string): Promise<string> => {
    const path = join(folder, name);
    await mkdir(path);
    return path;
  };

  it('opens one file, or the shards of an index, the same way', async () => {
    const single = await folderWith('single');
    expect((await writeShardedSafetensors(single, tensors)).map(({ path }) => path)).toEqual([join(single, 'model.safetensors')]);
    const sharded = await folderWith('sharded');
    const files = await writeShardedSafetensors(sharded, tensors, { maximumShardBytes: 32 });
    expect(files.map(({ path }) => path.slice(sharded.length + 1))).toEqual([
      'model-00001-of-00003.safetensors',
      'model-00002-of-00003.safetensors',
      'model-00003-of-00003.safetensors',
      'model.safetensors.index.json',
    ]);
    expect(JSON.parse(await readFile(join(sharded, 'model.safetensors.index.json'), 'utf8'))).toMatchObject({ metadata: { total_size: 80 } });
    for (const path of [single, sharded]) {
      await using store = await TensorStore.open(path);
      expect([...store.names].sort()).toEqual(tensors.map(({ name }) => name));
      expect((await store.read('layer.3')).data).toEqual(Float32Array.of(3, 3, 3, 3));
      expect(store.info('layer.4').shape).toEqual([4]);
    }
    expect(defaultShardBytes).toBe(5e9);
  });

  it('gives a tensor larger than a shard a file of its own', async () => {
    const path = await folderWith('large');
    const files = await writeShardedSafetensors(path, [tensors[0]!, tensorEntry('big', float32Tensor([100])), tensors[1]!], { maximumShardBytes: 40 });
    expect(files).toHaveLength(4);
  });

  async function withIndex(name: string, index: unknown): Promise<string> {
    const path = await folderWith(name);
    await writeShardedSafetensors(path, tensors, { maximumShardBytes: 32 });
    await writeFile(join(path, 'model.safetensors.index.json'), typeof index === 'string' ? index : JSON.stringify(index));
    return path;
  }
  const bad: [string, () => Promise<string>, string, RegExp][] = [
    [
      'a folder without weights',
      async () => {
        const path = await folderWith('no-weights');
        await writeFile(join(path, 'pytorch_model.bin'), '');
        return path;
      },
      'PARE_WEIGHTS_MISSING',
      /pytorch_model\.bin/,
    ],
    ['a missing folder', () => Promise.resolve(join(folder, 'nowhere')), 'PARE_FILE_UNREADABLE', /no such file/],
    [
      'missing shards, all of them at once',
      () => withIndex('missing', { weight_map: { a: 'model-1.safetensors', b: 'model-2.safetensors', 'layer.0': 'model-00001-of-00003.safetensors' } }),
      'PARE_SHARD_MISSING',
      /model-1\.safetensors, model-2\.safetensors/,
    ],
    [
      'an index that names a tensor its shard lacks',
      () => withIndex('lacks', { weight_map: { 'layer.9': 'model-00001-of-00003.safetensors' } }),
      'PARE_SHARD_TENSOR_MISSING',
      /layer\.9 in model-00001-of-00003/,
    ],
    [
      'a path that climbs out',
      () => withIndex('climbs', { weight_map: { a: '../single/model.safetensors' } }),
      'PARE_SHARD_PATH_UNSAFE',
      /"\.\.\/single\/model\.safetensors", outside/,
    ],
    ['an absolute path', () => withIndex('absolute', { weight_map: { a: '/etc/passwd' } }), 'PARE_SHARD_PATH_UNSAFE', /"\/etc\/passwd"/],
    ['an index that is not JSON', () => withIndex('text', 'weights'), 'PARE_SHARD_INDEX_INVALID', /not JSON/],
    ['an index without a map', () => withIndex('mapless', { metadata: {} }), 'PARE_SHARD_INDEX_INVALID', /no "weight_map"/],
    ['an empty map', () => withIndex('empty-map', { weight_map: {} }), 'PARE_SHARD_INDEX_INVALID', /is empty/],
    ['a number for a file', () => withIndex('number', { weight_map: { a: 3 } }), 'PARE_SHARD_INDEX_INVALID', /"a" has 3 for a file name/],
    ['a tensor listed twice', () => withIndex('listed-twice', '{"weight_map":{"a":"x","a":"y"}}'), 'PARE_SHARD_INDEX_INVALID', /"weight_map\.a" twice/],
  ];
  it.each(bad)('refuses %s', async (_, make, code, message) => {
    const error = await failure(TensorStore.open(await make()));
    expect(error.code).toBe(code);
    expect(error.message).toMatch(message);
  });

  it('follows links, as the hub cache has them, and calls a dangling one missing', async () => {
    const path = await folderWith('links');
    await symlink(join(folder, 'single', 'model.safetensors'), join(path, 'good.safetensors'));
    await symlink(join(folder, 'gone'), join(path, 'dangling.safetensors'));
    const index = join(path, 'model.safetensors.index.json');
    await writeFile(index, JSON.stringify({ weight_map: { 'layer.0': 'good.safetensors' } }));
    await using store = await TensorStore.open(path);
    expect(store.names).toEqual(['layer.0']);
    await writeFile(index, JSON.stringify({ weight_map: { 'layer.0': 'dangling.safetensors' } }));
    expect((await failure(TensorStore.open(path))).code).toBe('PARE_SHARD_MISSING');
  });

  it.each([
    ['a/b.safetensors', true],
    ['a//b', false],
    ['./a', false],
    ['a/..', false],
    ['C:\\a', false],
    ['..\\a', false],
    ['a\0', false],
    ['', false],
    ['..a', true],
  ])('judges the path %j', (path, inside) => {
    expect(isInsideFolder(path)).toBe(inside);
  });
});

describe('requireFinite', () => {
  it.each([
    ['float32', Float32Array.of(1, -3e38, NaN, Infinity), 2, 'NaN'],
    ['float64', Float64Array.of(1, -Infinity), 1, '-Infinity'],
    ['float16', Uint16Array.of(0x7bff, 0x7c00), 1, 'Infinity'],
    ['bfloat16', Uint16Array.of(0x7f7f, 0xff80), 1, '-Infinity'],
    ['bfloat16', Uint16Array.of(0x7fc1), 0, 'NaN'],
  ] as const)('finds the first bad element of %s', async (dtype, data, index, value) => {
    const error = await failure(Promise.resolve().then(() => requireFinite('w', hostTensor(dtype, [data.length], data))));
    expect(error).toMatchObject({ code: 'PARE_WEIGHT_NOT_FINITE', data: { tensor: 'w', index, value } });
  });

  it('passes large finite values and integers', () => {
    expect(firstNotFinite(float32Tensor([3], [3.4e38, 3.4e38, -3.4e38]))).toBe(-1);
    expect(firstNotFinite(hostTensor('uint16', [1], Uint16Array.of(0x7c00)))).toBe(-1);
  });
});
