import { relativeError, runProgram } from '@pare/conformance';
import { createRandom, type GraphNode, type HostTensor } from '@pare/core';
import type { DeviceTraits, QuantizedMatMulRequest } from '@pare/executor';
import { evaluateNode } from '@pare/operators';
import { afterAll, describe, expect, it, vi } from 'vitest';
import { quantizedMatMul, tiledVariants, type MatMulChoice } from './matmul.js';
import { guaranteedTraits, testDevice, tinyTraits } from './testing.js';

// A software device takes seconds to compile a kernel.
vi.setConfig({ testTimeout: 240_000 });
const gpu = await testDevice();
afterAll(() => gpu.destroy());

const smallest = tiledVariants.find(({ tileM }) => tileM === 32)!;

async function check(request: QuantizedMatMulRequest, traits: DeviceTraits = guaranteedTraits, choice: MatMulChoice = {}): Promise<void> {
  const { m, n, k, bits, blockSize } = request;
  const random = createRandom(m + n + k);
  const floats = (count: number): Float32Array => Float32Array.from({ length: count }, () => random() + random() - 1);
  const bytes = (count: number): Uint8Array => Uint8Array.from({ length: count }, () => Math.floor(random() * 256));
  const blocks = Math.ceil(k / blockSize);
  const blobBytes = (blockSize * bits) / 8;
  const x = floats(m * k);
  const codes = bytes(n * blocks * blobBytes);
  const scales = floats(n * blocks);
  const zeros = bytes(n * Math.ceil((blocks * bits) / 8));
  const bias = floats(n);
  const y = new Float32Array(m * n).fill(NaN);
  await runProgram(gpu.runner, quantizedMatMul(request, traits, choice), { x, codes, scales, zeros, bias, y });
  const names = ['x', 'codes', 'scales', request.zeros ? 'zeros' : '', '', request.bias ? 'bias' : ''];
  const attributes = { K: k, N: n, bits, block_size: blockSize, accuracy_level: 0 };
  const node: GraphNode = { name: 'q', operator: 'MatMulNBits', domain: 'com.microsoft', inputs: names, outputs: ['y'], attributes };
  const inputs: (HostTensor | undefined)[] = [
    { dtype: 'float32', shape: [m, k], data: x },
    { dtype: 'uint8', shape: [n, blocks, blobBytes], data: codes },
    { dtype: 'float32', shape: [n * blocks], data: scales },
    request.zeros ? { dtype: 'uint8', shape: [zeros.length], data: zeros } : undefined,
    undefined,
    request.bias ? { dtype: 'float32', shape: [n], data: bias } : undefined,
  ];
  expect(relativeError(y, evaluateNode(node, inputs)[0]!.data as Float32Array)).toBeLessThan(3e-6);
}

describe.each([4, 8] as const)('codes of %i bits', (bits) => {
  it.each([true, false])('with zeros and bias %s', async (given) => {
    const rest = { bits, zeros: given, bias: given };
    await check({ m: 1, n: 1, k: 1, blockSize: 16, ...rest });
    await check({ m: 1, n: 37, k: 160, blockSize: 32, ...rest });
    await check({ m: 3, n: 18, k: 77, blockSize: 16, ...rest });
    await check({ m: 33, n: 35, k: 100, blockSize: 32, ...rest }, guaranteedTraits, { kernel: smallest });
    await check({ m: 20, n: 12, k: 300, blockSize: 128, ...rest });
  });

  it('cut into windows and slices', async () => {
    const rest = { bits, zeros: true, bias: true };
    await check({ m: 2, n: 40, k: 2000, blockSize: 16, ...rest }, guaranteedTraits, { splits: 3 });
    await check({ m: 20, n: 70, k: 1000, blockSize: 64, ...rest }, { ...tinyTraits, maximumBinding: 8192 }, { kernel: smallest });
    await check({ m: 3, n: 9, k: 9000, blockSize: 16, ...rest }, { ...tinyTraits, maximumBinding: 8192 });
  });
});

it('writes the bias when there is nothing to sum', () => check({ m: 2, n: 3, k: 0, bits: 4, blockSize: 16, zeros: false, bias: true }));

it('has nothing to do without rows', () => {
  expect(quantizedMatMul({ m: 0, n: 3, k: 4, bits: 4, blockSize: 16, zeros: false, bias: false }, guaranteedTraits).dispatches).toEqual([]);
});
