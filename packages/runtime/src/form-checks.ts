import type { DenseWeight, ModuleInfo, QuantizedWeight, WeightForm, WeightFormKind } from '@pare/core';

/**
 * Why a form cannot be the weight of a module, or undefined when it can. Plugins hand in forms; a wrong length or an impossible code found here names
 * the plugin and the module, found later it would be a broken file.
 */
export function formProblem(form: WeightForm, module: ModuleInfo, produces: readonly WeightFormKind[]): string | undefined {
  if (!produces.includes(form.form)) return `it is ${form.form}; the technique declares ${produces.join(', ')}`;
  if (form.shape.length !== 2 || form.shape[0] !== module.shape[0] || form.shape[1] !== module.shape[1]) {
    return `its shape is [${form.shape.join(', ')}]; the module is [${module.shape.join(', ')}]`;
  }
  if (form.form === 'dense') return denseProblem(form);
  if (form.form === 'quantized') return quantizedProblem(form);
  return undefined;
}

function denseProblem({ tensor, shape }: DenseWeight): string | undefined {
  if (!['float32', 'float16', 'bfloat16', 'float64'].includes(tensor.dtype)) return `its elements are ${tensor.dtype}, not floating point`;
  if (tensor.data.length !== shape[0]! * shape[1]!) return `it has ${String(tensor.data.length)} elements for shape [${shape.join(', ')}]`;
  if (tensor.dtype === 'float32' || tensor.dtype === 'float64') return notFinite('element', tensor.data as Float32Array | Float64Array);
  return undefined;
}

function quantizedProblem({ scheme, shape: [rows, columns], codes, scales, zeros, groupIndex }: QuantizedWeight): string | undefined {
  const { bits, granularity, groupSize, symmetric } = scheme;
  if (!Number.isInteger(bits) || bits < 2 || bits > 8) return `it has ${String(bits)} bits; 2 to 8 are possible`;
  if (!Number.isInteger(groupSize) || groupSize < 1) return `its group size is ${String(groupSize)}`;
  const groups = granularity === 'group' ? Math.ceil(columns / groupSize) : 1;
  const grids = granularity === 'tensor' ? 1 : rows * groups;
  const wrongLength = (what: string, length: number, expected: number): string => `it has ${String(length)} ${what} instead of ${String(expected)}`;
  if (codes.length !== rows * columns) return wrongLength('codes', codes.length, rows * columns);
  if (scales.length !== grids) return wrongLength('scales', scales.length, grids);
  if (symmetric && zeros !== undefined) return 'it is symmetric and has zero points';
  if (!symmetric && zeros?.length !== grids) return wrongLength('zero points', zeros?.length ?? 0, grids);
  if (groupIndex !== undefined && groupIndex.length !== columns) return wrongLength('group indices', groupIndex.length, columns);
  if (groupIndex?.some((group) => group < 0 || group >= groups) === true) return `a group index is outside 0 … ${String(groups - 1)}`;
  const limit = 2 ** bits;
  const tooLarge = limit > 255 ? -1 : codes.findIndex((code) => code >= limit);
  if (tooLarge >= 0) return `code ${String(tooLarge)} is ${String(codes[tooLarge])}; ${String(bits)} bits end at ${String(limit - 1)}`;
  if (zeros?.some((zero) => zero >= limit) === true) return `a zero point is beyond ${String(limit - 1)}`;
  return notFinite('scale', scales);
}

function notFinite(what: string, values: Float32Array | Float64Array): string | undefined {
  for (let index = 0; index < values.length; index++) {
    if (!Number.isFinite(values[index])) return `${what} ${String(index)} is ${String(values[index])}`;
  }
  return undefined;
}
