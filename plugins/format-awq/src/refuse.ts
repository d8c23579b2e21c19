import type { FormatRefusal, ModelSummary, ModuleInfo, ModulePlan } from '@pare/core';
import { commonScheme, fitsScheme, groupNotes, placeProblem, productNotes, quantizedModules, refuseEach, refuseExperts, floatRefusal, inputRefusal, unevenGroups, type MatrixScheme, type Refusal } from '@pare/hf-folder';
import { sparseNotes } from '@pare/weights';
import type { AwqFormatOptions } from './options.js';

/** Group sizes that GPTQModel, and with it transformers, has kernels for. */
const usualGroups: readonly number[] = [16, 32, 64, 128];

const elsewhere = 'Write format hf or gptq, which tell schemes apart.';

/** What readers of AWQ folders could not open, before anything runs: they know one scheme for the whole folder. */
export function refuseModules(summary: ModelSummary, plans: ReadonlyMap<string, ModulePlan>, options: AwqFormatOptions): readonly FormatRefusal[] {
  const schemeOf = ({ shape }: ModuleInfo, { bits = 4, groupSize = -1 }: ModulePlan): MatrixScheme => ({ bits, groupSize, columns: shape[1] });
  const common = commonScheme(quantizedModules(summary, plans).map(({ info, plan }) => schemeOf(info, plan)));
  const refusals = refuseEach('awq', summary, plans, options.multiplyOut, (info, plan) => {
    const problem = layoutProblem(info, plan);
    if (problem !== undefined) return problem;
    if (plan.groupIndex === true) return { reason: 'its columns keep a group index, which AWQ folders have no place for', help: 'Use static groups with activation order (staticGroups: true), or write format gptq.' };
    if (common === undefined || fitsScheme(schemeOf(info, plan), common)) return undefined;
    return { reason: `its group size ${String(plan.groupSize)} is not that of the others (${String(common.groupSize)}), and an AWQ folder has one`, help: `Give all targets one group size. Or: ${elsewhere}` };
  });
  return [...refusals, ...refuseExperts(summary, plans, true, ''), ...refuseHidden(summary, plans)];
}

/** Why the layout has no place for a module; undefined when it has. */
export function layoutProblem(info: ModuleInfo, plan: Pick<ModulePlan, 'bits' | 'groupSize' | 'numbers' | 'input'>): Refusal | undefined {
  if (info.layout === 'in-out') return { reason: 'it is a Conv1D, and readers of AWQ folders know Linear layers only', help: 'Write format gptq or onnx.' };
  const misplaced = placeProblem(info);
  if (misplaced !== undefined) return misplaced;
  const { bits = 4, numbers, input } = plan;
  if (numbers === 'float8-e4m3') return floatRefusal('AWQ');
  if (input !== undefined) return inputRefusal('AWQ');
  if (bits !== 4) return { reason: `it has ${String(bits)} bits, and AWQ's GEMM layout 4`, help: 'Choose 4 bits, or write format gptq or hf.' };
  if (info.shape[0] % 8 !== 0) return { reason: `its ${String(info.shape[0])} outputs do not fill whole words of 8`, help: 'Leave this module out of the targets, or write format hf.' };
  return unevenGroups(info, plan);
}

/** Readers leave out what has a listed name anywhere in its own, so a dense layer's name may hide a quantized one. */
function refuseHidden(summary: ModelSummary, plans: ReadonlyMap<string, ModulePlan>): FormatRefusal[] {
  const quantized = quantizedModules(summary, plans);
  if (quantized.length === 0) return [];
  const coded = new Set(quantized.map(({ info }) => info.name));
  const dense = summary.modules.filter(({ name, kind, form }) => kind !== 'embedding' && !coded.has(name) && (plans.has(name) || form !== 'quantized'));
  return quantized.flatMap(({ info: { name } }): FormatRefusal[] => {
    const hiding = dense.find((other) => name.includes(other.name));
    return hiding === undefined ? [] : [{ module: name, reason: `"${hiding.name}" stays dense, and readers of AWQ folders then take this one for dense, too`, help: `Quantize both or neither. Or: ${elsewhere}` }];
  });
}

/** What a user should know of a folder before anything runs. */
export function notes(summary: ModelSummary, plans: ReadonlyMap<string, ModulePlan>): readonly string[] {
  const quantized = quantizedModules(summary, plans);
  const found = [...sparseNotes(summary, plans, 'an AWQ folder'), ...productNotes(summary, plans), ...groupNotes(quantized, usualGroups)];
  if (quantized.some(({ plan }) => plan.symmetric !== false)) found.push('symmetric grids are written with their zero point of 8: readers of AWQ folders know no grids without zero points, and it costs 4 bits a group.');
  if (quantized.some(({ info: { kind } }) => kind === 'head')) found.push('the head is quantized, which transformers does not read in AWQ folders.');
  return found;
}
