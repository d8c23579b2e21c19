import type { FormatRefusal, ModelSummary, ModuleInfo, ModulePlan } from '@pare/core';
import { commonScheme, fitsScheme, groupNotes, placeProblem, productNotes, quantizedModules, refuseEach, refuseExperts, floatRefusal, inputRefusal, unevenGroups, type Refusal } from '@pare/hf-folder';
import { sparseNotes } from '@pare/weights';
import { blockTargets } from './block-targets.js';
import { mergedProblems } from './merged-layers.js';
import type { GptqFormatOptions } from './options.js';

/** Widths that readers of GPTQ folders know. */
const knownBits: readonly number[] = [2, 3, 4, 8];

/** Group sizes that GPTQModel, and with it transformers, has kernels for. */
const usualGroups: readonly number[] = [16, 32, 64, 128, 256, 512, 1024];

/** What readers of GPTQ folders could not open, before anything runs. */
export function refuseModules(summary: ModelSummary, plans: ReadonlyMap<string, ModulePlan>, options: GptqFormatOptions): readonly FormatRefusal[] {
  const refusals = refuseEach('gptq', summary, plans, options.multiplyOut, (info, plan) => {
    const problem = layoutProblem(info, plan);
    if (problem !== undefined) return problem;
    if (plan.symmetric !== false || options.version !== 1) return undefined;
    return {
      reason: 'version 1 stores zero points minus one, and has no place for a zero point of 0, which asymmetric grids may have',
      help: 'Leave "version" of format gptq at auto, or set it to 2. Or quantize symmetrically (symmetric: true).',
    };
  });
  return [...refusals, ...refuseExperts(summary, plans, false, '')];
}

/** Why the layout has no place for a module; undefined when it has. */
export function layoutProblem(info: ModuleInfo, plan: Pick<ModulePlan, 'bits' | 'groupSize' | 'numbers' | 'input'>): Refusal | undefined {
  const misplaced = placeProblem(info);
  if (misplaced !== undefined) return misplaced;
  const { bits = 4, numbers, input } = plan;
  if (numbers === 'float8-e4m3') return floatRefusal('GPTQ');
  if (input !== undefined) return inputRefusal('GPTQ');
  if (!knownBits.includes(bits)) return { reason: `it has ${String(bits)} bits, and readers of GPTQ folders know ${knownBits.join(', ')}`, help: 'Choose 2, 3, 4 or 8 bits.' };
  const [rows, columns] = info.shape;
  // A run of fields that ends where a word ends: 32 fields of 3 bits, else what a word holds.
  const run = bits === 3 ? 32 : 32 / bits;
  for (const [what, size] of [['inputs', columns], ['outputs', rows]] as const) {
    if (size % run !== 0) return { reason: `its ${String(size)} ${what} do not fill whole words (${String(run)} of ${String(bits)} bits)`, help: 'Leave this module out of the targets, or write format hf.' };
  }
  return unevenGroups(info, plan);
}

/** What a user should know of a folder before anything runs. */
export function notes(summary: ModelSummary, plans: ReadonlyMap<string, ModulePlan>): readonly string[] {
  const quantized = quantizedModules(summary, plans);
  const found = [...sparseNotes(summary, plans, 'a GPTQ folder'), ...productNotes(summary, plans), ...groupNotes(quantized, usualGroups)];
  const matrices = quantized.map(({ info: { shape }, plan: { bits = 4, groupSize = -1 } }) => ({ bits, groupSize, columns: shape[1] }));
  const common = commonScheme(matrices);
  const others = common === undefined ? [] : matrices.filter((matrix) => !fitsScheme(matrix, common));
  if (others.length > 0) found.push(`${String(others.length)} of ${String(matrices.length)} matrices have another scheme than most, told apart by "dynamic" in quantization_config: GPTQModel and vLLM read that, transformers does not.`);
  if (quantized.some(({ info: { kind } }) => kind === 'head')) found.push('the head is quantized (lm_head: true), which GPTQModel and vLLM read and transformers does not.');
  if (quantized.some(({ info: { layout } }) => layout === 'in-out')) found.push('Conv1D layers are written as GPTQModel stores them, in one layout with Linear layers; readers without it may know Linear layers only.');
  if (quantized.length > 0 && blockTargets(summary.modules, new Set(quantized.map(({ info }) => info.name))).kind === 'varying') {
    found.push('other layers are quantized from block to block, which GPTQModel and vLLM read ("dynamic") and transformers does not.');
  }
  found.push(...mergedProblems(summary, (name) => quantized.find(({ info }) => info.name === name)?.plan));
  return found;
}
