import { float32Tensor, hostTensor, type Backend, type DeviceTensor, type HostTensor } from '@pare/core';
import { referenceBackend } from '@pare/backend-reference';
import { webgpuBackend } from '@pare/backend-webgpu';
import { openFixture } from '@pare/testkit';
import { expect, it } from 'vitest';
import { policyInputs, policyLoss } from '../losses/index.js';
import { DecoderGradients } from './gradients.js';
import { loadParameters } from './parameters.js';
import { decoderSegments } from './segments.js';

/** Inputs of the loss that is made of most: cross-entropy, both directions of KL, clipped ratios. */
function policyBatch(window: Int32Array): Record<string, HostTensor> {
  const positions = new Map([2, 4].map((position) => [position, { target: window[position + 1]!, behaviour: -5, advantage: 0.5, divergenceWeight: 0.25, labelWeight: 0.25, softWeight: 0.5 }] as const));
  const teacher = float32Tensor([1, window.length, 160], Float32Array.from({ length: 160 * window.length }, (_, index) => 2 * Math.sin(index)));
  return { teacher, ...policyInputs([positions], window.length) };
}

/** Gradients of the parameters of the last block and the head. */
async function gradients(backend: Backend, length: number): Promise<Map<string, HostTensor>> {
  await using model = await openFixture('llama');
  const segments = decoderSegments({ description: model.description, experts: 'all', loss: policyLoss({ clipRatio: 0.2 }) });
  const parameters = await loadParameters(backend, model, segments);
  const trainable = new Set(segments.slice(-2).flatMap((segment) => segment.parameters.map(({ name }) => name)));
  const window = Int32Array.from({ length }, (_, position) => (position * 37) % 160);
  const found = new Map<string, DeviceTensor>();
  {
    await using decoder = new DecoderGradients({ backend, segments, parameters, trainable, recompute: true });
    const batch = { ids: hostTensor('int64', [1, length], BigInt64Array.from(window, BigInt)), inputs: policyBatch(window) };
    await decoder.backward(batch, (complete) => {
      for (const [name, tensor] of complete) found.set(name, tensor);
    });
  }
  const read = new Map<string, HostTensor>();
  for (const [name, tensor] of found) {
    read.set(name, await backend.read(tensor));
    tensor[Symbol.dispose]();
  }
  for (const tensor of parameters.values()) tensor[Symbol.dispose]();
  expect(backend.memory().tensors).toBe(0);
  return read;
}

it('computes the gradients of a block that the reference computes', async () => {
  await using webgpu = await webgpuBackend.create({ powerPreference: 'high-performance', software: true }, { log: console });
  await using reference = await referenceBackend.create({}, { log: console });
  const [found, expected] = [await gradients(webgpu, 7), await gradients(reference, 7)];
  expect([...found.keys()]).toEqual([...expected.keys()]);
  for (const [name, { shape, data }] of expected) {
    const gradient = found.get(name)!;
    expect(gradient.shape).toEqual(shape);
    const largest = (data as Float32Array).reduce((most, value) => Math.max(most, Math.abs(value)), 0);
    for (const [index, value] of (gradient.data as Float32Array).entries()) expect(Math.abs(value - Number(data[index])) / largest, name).toBeLessThan(1e-4);
  }
});
