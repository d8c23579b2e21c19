import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { firstError } from '../libraries/nvrtc.js';
import { BlockAllocator } from './block-allocator.js';
import { defaultCacheFolder, ModuleCache } from './module-cache.js';

describe('the block allocator', () => {
  /** Memory of a size, at addresses that count up. */
  function memory(bytes: number): { readonly allocator: BlockAllocator; readonly live: Map<number, number> } {
    const live = new Map<number, number>();
    let next = 4096;
    const allocator = new BlockAllocator({
      allocate(size) {
        const used = [...live.values()].reduce((sum, value) => sum + value, 0);
        if (used + size > bytes) return undefined;
        live.set((next += 2 ** 20), size);
        return next;
      },
      free: (address) => void live.delete(address),
    });
    return { allocator, live };
  }

  it('uses blocks again, the smallest that is large enough', () => {
    const { allocator, live } = memory(2 ** 20);
    const [small, large] = [allocator.allocate(1000)!, allocator.allocate(100_000)!];
    allocator.release(large);
    allocator.release(small);
    expect(allocator.allocate(900)).toBe(small);
    expect(allocator.allocate(95_000)).toBe(large);
    expect(live.size).toBe(2);
  });

  it('does not waste more than an eighth', () => {
    const { allocator } = memory(2 ** 20);
    const block = allocator.allocate(100_000)!;
    allocator.release(block);
    expect(allocator.allocate(50_000)).not.toBe(block);
  });

  it('gives back what it keeps when memory runs out, and says when even that does not do', () => {
    const { allocator, live } = memory(1000);
    allocator.release(allocator.allocate(600)!);
    expect(allocator.allocate(900)?.bytes).toBe(900);
    expect(live.size).toBe(1);
    expect(allocator.allocate(200)).toBeUndefined();
    expect(allocator.reservedBytes).toBe(900);
  });
});

describe('the module cache', () => {
  let folder: string;
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'pare-modules-'));
  });
  afterAll(() => rm(folder, { recursive: true }));

  it('keeps code by compiler, options and text', async () => {
    const cache = new ModuleCache(folder);
    const keys = [ModuleCache.key('13.0', ['-a'], 'x'), ModuleCache.key('13.0', ['-b'], 'x'), ModuleCache.key('12.9', ['-a'], 'x'), ModuleCache.key('13.0', ['-a'], 'y')];
    expect(new Set(keys).size).toBe(4);
    expect(await cache.read(keys[0]!)).toBeUndefined();
    await cache.write(keys[0]!, Uint8Array.of(1, 2, 3));
    expect([...(await cache.read(keys[0]!))!]).toEqual([1, 2, 3]);
    expect((await readdir(folder, { recursive: true })).filter((name) => name.includes('.cubin'))).toHaveLength(1);
    await cache.remove(keys[0]!);
    expect(await cache.read(keys[0]!)).toBeUndefined();
  });

  it('does without a folder, and without one that can be written', async () => {
    const key = ModuleCache.key('13.0', [], 'x');
    const none = new ModuleCache(undefined);
    await none.write(key, Uint8Array.of(1));
    expect(await none.read(key)).toBeUndefined();
    await writeFile(join(folder, 'file'), '');
    const barred = new ModuleCache(join(folder, 'file'));
    await barred.write(key, Uint8Array.of(1));
    expect(await barred.read(key)).toBeUndefined();
  });

  it('lies in the user\'s cache', () => {
    expect(defaultCacheFolder({ XDG_CACHE_HOME: '/cache' }, 'linux')).toBe('/cache/pare/cuda');
    expect(defaultCacheFolder({}, 'linux')).toMatch(/\.cache\/pare\/cuda$/);
  });
});

describe('a compiler\'s log', () => {
  it('gives the first error and its line', () => {
    const log = 'kernel(3): warning #177-D: variable "a" was declared but never referenced\n\nkernel(12): error: identifier "y" is undefined\n    y[0] = 1;\n    ^\n\nkernel(14): error: expected a ";"\n';
    const error = firstError(log);
    expect([error.message, error.line]).toEqual(['identifier "y" is undefined', 12]);
  });

  it('gives its first line where it names none', () => {
    const error = firstError('nvrtc: error: invalid value for --gpu-architecture (-arch)\n');
    expect([error.message, error.line]).toEqual(['nvrtc: error: invalid value for --gpu-architecture (-arch)', undefined]);
  });
});
