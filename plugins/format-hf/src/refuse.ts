import type { FormatRefusal, InputScheme, ModelSummary, ModuleInfo, ModulePlan } from '@pare/core';
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
  if (plan.input !== undefined) return refuseRounded(info, plan, plan.input);
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

/** Layers that round their inputs are `int-quantized`: what runtimes multiply as integers. */
function refuseRounded(info: ModuleInfo, { bits, groupSize = -1, groupIndex, numbers }: ModulePlan, { dynamic }: InputScheme): Refusal | undefined {
  if (bits !== 8 || numbers !== undefined) {
    const weights = numbers === undefined ? String(bits) : 'floats';
    return { reason: `its inputs are rounded to 8 bits and its weights to ${weights}; runtimes of int-quantized multiply 8-bit integers by such`, help: 'Choose 8-bit integers or activations: none, or write format onnx.' };
  }
  if ((groupSize > 0 && groupSize < info.shape[1]) || groupIndex === true) {
    return { reason: `its inputs are rounded and ${String(groupSize)} of its weights share a scale; integer products need one scale an output`, help: 'Choose group size -1, or write format onnx.' };
  }
  if (info.expert !== undefined && !dynamic) {
    return { reason: 'runtimes round the inputs of experts a token at a time, and this one has a static scale', help: 'Choose dynamic-token activations for experts.' };
  }
  return undefined;
}

/** What a user should know of layers whose rounding of inputs is lost with their codes. */
export function inputNotes(plans: ReadonlyMap<string, ModulePlan>): readonly string[] {
  const count = [...plans.values()].filter(({ input }) => input !== undefined).length;
  return count === 0 ? [] : [`${String(count)} layers are written dense and no longer round their inputs: loaders of the folder compute with other activations than this model.`];
}
