import type { ModuleInfo, WeightForm, WeightFormKind } from '@pare/core';
import { structureProblem } from '@pare/weights';

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
