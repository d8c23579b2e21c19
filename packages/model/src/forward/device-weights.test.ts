import llama from '@pare/architecture-llama';
import { referenceBackend } from '@pare/backend-reference';
import { isPareError, type Backend, type WeightForm } from '@pare/core';
import { denseWeight, packedCodes, packedWeight, quantizeMatrix } from '@pare/weights';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { openModel, overlayModel } from '../open/index.js';
import { createBlockRunner } from './index.js';

const silent = (): void => undefined;
// Its weights and its embedding are bfloat16.
const tales = join(import.meta.dirname, '../../../../examples/models/tales-1m');
const windows = [Int32Array.of(5, 9, 4000, 17, 5, 1), Int32Array.of(7, 7, 0, 3, 2, 900)];

let backend: Backend;
beforeEach(async () => {
  backend = await referenceBackend.create({}, { log: { debug: silent, info: silent, warn: silent, error: silent } });
});
afterEach(async () => {
  expect(backend.memory().tensors).toBe(0);
  await backend[Symbol.asyncDispose]();
});

/** The same backend, as one whose tensors lie in memory of their own; `written` lists what is handed to it. */
function apart(written: string[], valueBytes = 2 ** 30): Backend {
  return new Proxy(backend, {
    get(target, key) {
      if (key === 'device') return { ...target.device, separate: { valueBytes, statesBytes: 2 ** 30 } };
      const value: unknown = Reflect.get(target, key, target);
      if (typeof value !== 'function') return value;
      if (key !== 'write') return value.bind(target) as unknown;
      return (...args: Parameters<Backend['write']>) => {
        written.push(`${args[0].dtype} ${args[0].shape.join('x')}`);
        return target.write(...args);
      };
    },
  });
}

async function states(on: Backend, forms: Readonly<Record<string, WeightForm>> = {}): Promise<number[]> {
  await using model = await openModel(tales, { architectures: [llama] });
  const source = overlayModel(model, new Map(Object.entries(forms).map(([name, form]) => [name, () => Promise.resolve(form)])), new Map(Object.entries(forms).map(([name, { form }]) => [name, { produces: form, storedBits: 0 }])));
  await using runner = createBlockRunner({ model, backend: on });
  await using hidden = await runner.embed(windows);
  await runner.advance(0, hidden, source);
  return (await Promise.all(hidden.chunks.map((_, chunk) => hidden.read(chunk)))).flatMap(({ data }) => [...(data as Float32Array)]);
}

it('hands matrices and tokens to a device of its own as they are stored, with the same result', async () => {
  const written: string[] = [];
  expect(await states(apart(written))).toEqual(await states(backend));
  expect(written[0]).toMatch(/^bfloat16 /);
  expect(written).toContain('int32 2x6');
  expect(written.filter((name) => /^float32 \d+x\d+$/.test(name) && !name.startsWith('float32 6x'))).toEqual([]);
});

it('keeps hidden states in its memory by default, and in a file where that is asked for', async () => {
  await using model = await openModel(tales, { architectures: [llama] });
  for (const spillBytes of [undefined, 0]) {
    await using runner = createBlockRunner({ model, backend: apart([]), spillBytes });
    await using hidden = await runner.embed(windows);
    expect(hidden.spilled).toBe(spillBytes === 0);
  }
});

it('multiplies codes out there', async () => {
  await using model = await openModel(tales, { architectures: [llama] });
  const forms: Record<string, WeightForm> = {};
  const options = [
    { symmetric: true, groupSize: 32 },
    { symmetric: false, groupSize: 32 },
    // Groups that do not divide a row, and one grid a row.
    { symmetric: false, groupSize: 48 },
    { symmetric: true, groupSize: -1 },
    // Groups of columns in another order.
    { symmetric: false, groupSize: 32, shuffled: true },
  ];
  for (const [index, { name, shape }] of model.modules.filter(({ block, kind }) => block === 0 && kind === 'linear').entries()) {
    const { shuffled = false, ...option } = options[index % options.length]!;
    const { data } = await model.denseWeight(name);
    const form = quantizeMatrix(data, shape, { bits: 4, clip: 'minmax', ...option }, 'bfloat16');
    forms[name] = index === 6 ? denseWeight(data, shape, 'float16') : shuffled ? { ...form, groupIndex: Int32Array.from({ length: shape[1] }, (_, column) => Math.floor(((column * 7) % shape[1]) / 32)) } : form;
  }
  const written: string[] = [];
  expect(await states(apart(written), forms)).toEqual(await states(backend, forms));
  expect(written.filter((name) => name.startsWith('uint8')).length).toBeGreaterThanOrEqual(6);
  expect(written.some((name) => name.startsWith('float16'))).toBe(true);

  // Codes that came in words go there in words.
  const packed = Object.fromEntries(Object.entries(forms).map(([name, form]) => [name, form.form === 'quantized' ? packedWeight(form, packedCodes(form)) : form]));
  const words: string[] = [];
  expect(await states(apart(words), packed)).toEqual(await states(backend, forms));
  expect(words.filter((name) => name.startsWith('uint4')).length).toBe(Object.values(forms).filter(({ form }) => form === 'quantized').length);
});

it('reads the embedding on the host where it is too large, and names a token that is not there either way', async () => {
  const written: string[] = [];
  expect(await states(apart(written, 4096))).toEqual(await states(backend));
  expect(written).not.toContain('int32 2x6');
  await using model = await openModel(tales, { architectures: [llama] });
  for (const on of [backend, apart([])]) {
    await using runner = createBlockRunner({ model, backend: on });
    const error: unknown = await runner.embed([Int32Array.of(1, 2), Int32Array.of(3, 99_999)]).catch((thrown: unknown) => thrown);
    expect(isPareError(error) && [error.code, error.data['token'], error.data['window'], error.data['position']]).toEqual(['PARE_TOKEN_OUT_OF_RANGE', 99_999, 1, 1]);
  }
});
