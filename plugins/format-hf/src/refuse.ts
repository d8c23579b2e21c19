import type { FormatRefusal, ModelSummary, ModuleInfo, ModulePlan } from '@pare/core';
import { placeProblem, quantizedModules, refuseEach, refuseExperts, unevenGroups, type Refusal } from '@pare/hf-folder';
import type { HuggingFaceOptions } from './options.js';

/** Bits whose fields never straddle a word, so that all readers agree on their layout. */
const wordAlignedBits: readonly number[] = [2, 4, 8];

/** What writing dense costs, for advice. */
const dequantizeAdvice = ' Or "dequantize: true" of format hf writes these weights dense (large, but every loader opens it).';

/**
 * What readers of compressed-tensors could not open, or would open as other numbers, before anything runs. With
 * `dequantize` everything can be written but new sharing between modules.
 */
export function refuseModules(summary: ModelSummary, plans: ReadonlyMap<string, ModulePlan>, options: HuggingFaceOptions): readonly FormatRefusal[] {
  const ofCodes = (info: ModuleInfo, plan: ModulePlan): Refusal | undefined => {
    const refusal = options.dequantize ? undefined : refuseCodes(info, plan, options);
    return refusal === undefined ? undefined : { ...refusal, help: refusal.help + dequantizeAdvice };
  };
  const refusals = refuseEach('hf', summary, plans, options.multiplyOut, ofCodes, options.nonUniform);
  return options.dequantize ? refusals : [...refusals, ...refuseExperts(summary, plans, false, dequantizeAdvice)];
}

function refuseCodes(info: ModuleInfo, plan: ModulePlan, options: HuggingFaceOptions): Refusal | undefined {
  if (info.layout === 'in-out') {
    return { reason: 'it is a Conv1D, and compressed-tensors reads packed weights of Linear layers only', help: 'Write another format (gptq, onnx).' };
  }
  const misplaced = placeProblem(info);
  if (misplaced !== undefined) return misplaced;
  const { bits, groupIndex } = plan;
  if (bits !== undefined && !wordAlignedBits.includes(bits) && !options.oddBits) {
    return {
      reason: `fields of ${String(bits)} bits straddle words, and readers before compressed-tensors 0.18 take them for other numbers`,
      help: 'Choose 2, 4 or 8 bits, or set "oddBits: true" of format hf when your readers are newer.',
    };
  }
  const uneven = unevenGroups(info, plan);
  if (uneven !== undefined) return uneven;
  if (groupIndex === true && !options.groupIndex) {
    return {
      reason: 'its columns keep a group index, which compressed-tensors refuses since 0.19',
      help: 'Use static groups with activation order (staticGroups: true), or write format gptq. Or set "groupIndex: true" of format hf when your readers are older.',
    };
  }
  return undefined;
}

/** What a user should know of 8-bit floats in groups. */
export function floatNotes(summary: ModelSummary, plans: ReadonlyMap<string, ModulePlan>): readonly string[] {
  const grouped = quantizedModules(summary, plans).some(({ info: { shape }, plan: { numbers, groupSize = -1 } }) => numbers === 'float8-e4m3' && groupSize !== -1 && groupSize < shape[1]);
  return grouped ? ['8-bit floats in groups: transformers reads them, vLLM reads one scale an output or matrix.'] : [];
}
