import { createRandom, isPareError, pareError, throwIfAborted, type FormatContext } from '@pare/core';
import { createBlockRunner } from '@pare/model';
import { OnnxDecoder } from '@pare/onnx-decoder';
import { join } from 'node:path';
import type { OnnxOptions } from './options.js';
import { variantFile, type Variant } from './variants.js';

/** Tokens of the two texts; the shorter one is padded on the left. */
const lengths = [12, 9] as const;
/** Tokens that are then fed one at a time. */
const steps = 3;

/**
 * Root mean square error of the logits, relative to their own, that a variant may have. Exact arithmetic differs in the order of sums only; half precision keeps 11
 * bits through every layer; activations rounded to 8 bits are 1/254 of a block's maximum off each. Where layers round their inputs, sums of another order tip a few to the next
 * code, later layers tip more, and after some layers two exact runs are about as far from each other as rounding itself takes them.
 */
function tolerance({ float, packed }: Variant, accuracyLevel: number, roundsInputs: boolean): number {
  if (roundsInputs || (packed && accuracyLevel === 4)) return 0.1;
  return float === 'float16' || (packed && accuracyLevel === 2) ? 0.05 : 1e-3;
}

/** @throws PARE_VERIFICATION_FAILED when onnxruntime cannot run a file, or computes other logits from it than the model's own forward pass does. */
export async function compareRuns(context: FormatContext<OnnxOptions>, variant: Variant): Promise<void> {
  const file = variantFile(variant);
  try {
    await compareLogits(context, variant, file);
  } catch (error) {
    if (isPareError(error)) throw error;
    const problem = `does not run in onnxruntime: ${error instanceof Error ? error.message : String(error)}`;
    throw pareError('PARE_VERIFICATION_FAILED', { file, tensor: 'graph', problem }, error);
  }
}

async function compareLogits(context: FormatContext<OnnxOptions>, variant: Variant, file: string): Promise<void> {
  const { model, directory, signal, options } = context;
  const vocabulary = model.description.vocabularySize;
  const random = createRandom(0);
  const roundsInputs = model.modules.some(({ input }) => input !== undefined);
  const texts = lengths.map((length) => Int32Array.from({ length }, () => Math.floor(random() * vocabulary)));
  const expected = await forwardLogits(context, texts);
  throwIfAborted(signal, 'reading back');
  const runtime = await import('onnxruntime-node');
  await using decoder = await OnnxDecoder.open(runtime, {
    file: join(directory, file),
    vocabularySize: vocabulary,
    maxPositions: model.description.maxPositions,
    // A few short runs: weights repacked for speed and memory kept between runs would only add to the peak.
    session: { enableCpuMemArena: false, extra: { session: { disable_prepacking: '1' } } },
  });

  const check = (logits: Float32Array, positions: number, from: (text: number) => number, what: string): void => {
    let error = 0;
    let power = 0;
    for (const text of texts.keys()) {
      for (let position = 0; position < positions; position++) {
        const place = from(text) + position;
        if (place < 0) continue;
        for (let token = 0; token < vocabulary; token++) {
          const reference = expected[text]![place * vocabulary + token]!;
          error += (logits[(text * positions + position) * vocabulary + token]! - reference) ** 2;
          power += reference ** 2;
        }
      }
    }
    const relative = Math.sqrt(error / Math.max(power, Number.MIN_VALUE));
    if (relative <= tolerance(variant, options.accuracyLevel, roundsInputs)) return;
    throw pareError('PARE_VERIFICATION_FAILED', { file, tensor: 'logits', problem: `differ by ${(100 * relative).toPrecision(3)} % from the model's (${what})` });
  };

  const longest = Math.max(...lengths);
  const padding = texts.map((text) => longest - text.length);
  const ids = texts.map((text, row) => [...new Array<number>(padding[row]!).fill(0), ...text]);
  const part = (rows: readonly number[][], start: number, end: number): number[][] => rows.map((row) => row.slice(start, end));
  const offset = (text: number): number => texts[text]!.length - longest;

  const prompt = await decoder.run({ ids, padding }, undefined);
  check(prompt.logits, longest, offset, 'as a prompt');
  prompt.state[Symbol.dispose]();
  let step = await decoder.run({ ids: part(ids, 0, longest - steps), padding }, undefined);
  for (let position = longest - steps; position < longest; position++) {
    const before = step.state;
    step = await decoder.run({ ids: part(ids, position, position + 1), padding }, before);
    before[Symbol.dispose]();
    check(step.logits, 1, (text) => offset(text) + position, 'token by token');
  }
  step.state[Symbol.dispose]();
}

/** Logits of each text, [positions · vocabulary]. */
async function forwardLogits({ model, backend, signal }: FormatContext<OnnxOptions>, texts: readonly Int32Array[]): Promise<Float32Array[]> {
  await using runner = createBlockRunner({ model, backend, signal });
  await using hidden = await runner.embed(texts);
  for (const block of model.description.blocks.keys()) await runner.advance(block, hidden);
  return (await runner.logits(hidden)).map(({ data }) => data as Float32Array);
}
