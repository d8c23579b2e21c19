import type { Backend, FormatContext, InputQuantization, Model, QuantizedWeight, WeightForm } from '@pare/core';
import { referenceBackend } from '@pare/backend-reference';
import { readOnnxFile } from '@pare/graph/node';
import { overlayModel } from '@pare/model';
import { OnnxDecoder } from '@pare/onnx-decoder';
import { formatContext, modelLogits, openFixture } from '@pare/testkit';
import { quantizeMatrix, type QuantizerOptions } from '@pare/weights';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { onnxFormat, onnxOptions, type OnnxOptions } from './index.js';

const token: InputQuantization = { bits: 8, symmetric: true, granularity: 'token', dynamic: true };
const still: InputQuantization = { bits: 8, symmetric: true, granularity: 'tensor', dynamic: false, scale: 0.03 };
const shifted: InputQuantization = { ...still, symmetric: false, zero: -20 };

const channel: QuantizerOptions = { bits: 8, symmetric: true };
const windows = [Int32Array.from({ length: 12 }, (_, index) => (index * 37) % 160), Int32Array.from({ length: 12 }, (_, index) => (index * 11 + 5) % 160)];

let backend: Backend;
let directory: string;
beforeEach(async () => {
  backend = await referenceBackend.create({}, { log: console });
  directory = await mkdtemp(join(tmpdir(), 'pare-onnx-'));
});
afterEach(async () => {
  expect(backend.memory().tensors).toBe(0);
  await rm(directory, { recursive: true });
});

/** The model with its linear layers rounded to 8 bits, inputs included. */
async function rounded(model: Model, options: QuantizerOptions, input: InputQuantization): Promise<Model> {
  const forms = new Map<string, QuantizedWeight>();
  for (const { name, kind } of model.modules) {
    if (kind !== 'linear') continue;
    const { data, shape } = await model.denseWeight(name);
    forms.set(name, { ...quantizeMatrix(data, shape as [number, number], options, 'float32'), input });
  }
  const { bits, symmetric, granularity, dynamic } = input;
  const summary = { produces: 'quantized' as const, storedBits: 8, input: { bits, symmetric, granularity, dynamic } };
  return overlayModel(model, new Map([...forms].map(([name, form]) => [name, (): Promise<WeightForm> => Promise.resolve(form)])), new Map([...forms.keys()].map((name) => [name, summary])));
}

function contextOf(model: Model, options: Partial<OnnxOptions>): FormatContext<OnnxOptions> {
  return formatContext({ model, options: { ...onnxOptions.parse({}), ...options }, directory, backend, log: console });
}

const logitsInMemory = (model: Model): Promise<Float32Array> => modelLogits(backend, model, windows);

async function logitsOfFile(model: Model, file: string): Promise<Float32Array> {
  const runtime = await import('onnxruntime-node');
  await using decoder = await OnnxDecoder.open(runtime, { file: join(directory, file), vocabularySize: model.description.vocabularySize, maxPositions: 64 });
  const { logits, state } = await decoder.run({ ids: windows.map((ids) => [...ids]), padding: windows.map(() => 0) }, undefined);
  state[Symbol.dispose]();
  return logits;
}

/** Root mean square of the difference relative to that of the reference. */
function relativeError(found: Float32Array, reference: Float32Array): number {
  const square = (value: (index: number) => number): number => reference.reduce((sum, _, index) => sum + value(index) ** 2, 0);
  return Math.sqrt(square((index) => found[index]! - reference[index]!) / square((index) => reference[index]!));
}

describe('onnxFormat with rounded inputs', () => {
  it.each([
    { name: 'per token', options: channel, input: token },
    { name: 'per token, weights with zero points', options: { bits: 8, symmetric: false }, input: token },
    { name: 'per token, one grid a matrix', options: { bits: 8, symmetric: false, granularity: 'tensor' as const }, input: token },
    { name: 'static', options: channel, input: still },
    { name: 'static with a zero point', options: channel, input: shifted },
  ])('writes integer products that compute what the model computes: $name', async ({ options, input }) => {
    await using source = await openFixture('llama');
    const model = await rounded(source, options, input);
    const context = contextOf(model, {});
    const files = await onnxFormat.write(context);
    const path = 'onnx/model_quantized.onnx';
    const graph = await readOnnxFile(join(directory, path));
    const count = (operator: string): number => graph.nodes.filter((node) => node.operator === operator).length;
    expect(count('MatMulInteger')).toBe(model.modules.filter(({ kind }) => kind === 'linear').length);
    expect(count('MatMulNBits')).toBe(0);
    // The projections of an attention read one rounded value.
    const blocks = model.description.blocks.length;
    expect(count(input.dynamic ? 'Round' : 'QuantizeLinear')).toBe(4 * blocks);
    const reference = await logitsInMemory(model);
    expect(relativeError(await logitsOfFile(model, path), reference)).toBeLessThan(1e-5);
    // Rounding has an effect that this would show.
    expect(relativeError(await logitsInMemory(source), reference)).toBeGreaterThan(1e-3);
    await expect(onnxFormat.verify(context, files)).resolves.toMatchObject({ largestDifference: 0 });
  });

  it.each([
    { name: 'groups', options: { bits: 8, symmetric: true, groupSize: 32 }, dtype: 'q8' as const, file: 'onnx/model_quantized.onnx' },
    { name: '4 bits', options: { bits: 4, symmetric: true, groupSize: -1 }, dtype: 'q4' as const, file: 'onnx/model_q4.onnx' },
    { name: 'weights multiplied out', options: channel, dtype: 'fp32' as const, file: 'onnx/model.onnx' },
  ])('rounds inputs before products in floating point: $name', async ({ options, dtype, file }) => {
    await using source = await openFixture('llama');
    for (const input of [token, still]) {
      const model = await rounded(source, options, input);
      const context = contextOf(model, { dtype: [dtype] });
      const files = await onnxFormat.write(context);
      expect(relativeError(await logitsOfFile(model, file), await logitsInMemory(model))).toBeLessThan(1e-5);
      await expect(onnxFormat.verify(context, files)).resolves.toMatchObject({ largestDifference: 0 });
    }
  });

  // Half precision moves some values over the middle between two codes. What that changes stays within what rounding inputs changes.
  it.each(['fp16', 'q4f16'] as const)('rounds inputs in %s, too', async (dtype) => {
    await using source = await openFixture('llama');
    const model = await rounded(source, channel, token);
    const context = contextOf(model, { dtype: [dtype] });
    const files = await onnxFormat.write(context);
    const reference = await logitsInMemory(model);
    expect(relativeError(await logitsOfFile(model, `onnx/model_${dtype}.onnx`), reference)).toBeLessThan(relativeError(await logitsInMemory(source), reference));
    await onnxFormat.verify(context, files);
  });

  it('rounds the inputs of experts, on their own tokens and on all', async () => {
    await using source = await openFixture('qwen3_moe');
    const model = await rounded(source, channel, token);
    for (const experts of ['routed', 'all'] as const) {
      const context = contextOf(model, { experts });
      await onnxFormat.write(context);
      expect(relativeError(await logitsOfFile(model, 'onnx/model_quantized.onnx'), await logitsInMemory(model))).toBeLessThan(1e-5);
    }
  });

  it('keeps a rounded head', async () => {
    await using source = await openFixture('llama');
    const head = source.modules.find(({ kind }) => kind === 'head')!;
    const { data, shape } = await source.denseWeight(head.name);
    for (const input of [token, still]) {
      const form: WeightForm = { ...quantizeMatrix(data, shape as [number, number], channel, 'float32'), input };
      const { bits, symmetric, granularity, dynamic } = input;
      const model = overlayModel(source, new Map([[head.name, () => Promise.resolve(form)]]), new Map([[head.name, { produces: 'quantized', storedBits: 8, input: { bits, symmetric, granularity, dynamic } }]]));
      await onnxFormat.write(contextOf(model, {}));
      expect(relativeError(await logitsOfFile(model, 'onnx/model_quantized.onnx'), await logitsInMemory(model))).toBeLessThan(1e-5);
    }
  });
});
