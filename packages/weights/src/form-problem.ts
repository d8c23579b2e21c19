import type { InputScheme, ModuleInfo, ModulePlan, ModuleReport, WeightForm, WeightFormKind } from '@pare/core';
import { inputSchemeOf } from './input-quantization.js';
import { storedBits, writtenBits } from './stored-bits.js';
import { structureProblem } from './structure-problem.js';

/**
 * Why a form cannot be the weight of a module, or undefined when it can. Plugins hand in forms; a wrong length or an impossible code found here names
 * the plugin and the module, found later it would be a broken file.
 */
export function formProblem(form: WeightForm, module: ModuleInfo, produces: readonly WeightFormKind[]): string | undefined {
  if (!produces.includes(form.form)) return `it is ${form.form}; the technique declares ${produces.join(', ')}`;
  if (form.shape.length !== 2 || form.shape[0] !== module.shape[0] || form.shape[1] !== module.shape[1]) {
    return `its shape is [${form.shape.join(', ')}]; the module is [${module.shape.join(', ')}]`;
  }
  return structureProblem(form);
}

/** What a result is, where its plan has it otherwise: estimated sizes, results that fell back to another form. Nothing where the plan was right. */
export function planCorrection(form: WeightForm, plan: ModulePlan): Pick<ModuleReport, 'became'> {
  const stored = storedBits(form);
  const input = inputSchemeOf(form);
  if (form.form === plan.produces && stored === plan.storedBits && sameInput(input, plan.input)) return {};
  const rank = form.form === 'factorized' ? form.left.shape[1] : undefined;
  return { became: { produces: form.form, storedBits: stored, writtenBits: writtenBits(form), rank, input } };
}

function sameInput(a: InputScheme | undefined, b: InputScheme | undefined): boolean {
  return a?.symmetric === b?.symmetric && a?.granularity === b?.granularity && a?.dynamic === b?.dynamic;
}
