import { pareError, type ModuleInfo } from '@pare/core';
import { commonScheme, fitsScheme, type SchemeSummary } from '@pare/hf-folder';

/**
 * The `quantization_config` of an AWQ folder (AutoAWQ's and transformers' `AwqConfig`): one scheme for all, and the layers that stay dense by name.
 * @param schemes Schemes of the quantized modules by name; at least one.
 * @throws PARE_FORM_UNSUPPORTED for matrices of several group sizes
 */
export function quantizationConfig(modules: readonly ModuleInfo[], schemes: ReadonlyMap<string, SchemeSummary>): Readonly<Record<string, unknown>> {
  const matrices = modules.flatMap(({ name, shape }) => {
    const scheme = schemes.get(name)?.scheme;
    return scheme === undefined ? [] : [{ bits: scheme.bits, groupSize: scheme.granularity === 'group' ? scheme.groupSize : -1, columns: shape[1] }];
  });
  const common = commonScheme(matrices)!;
  if (!matrices.every((matrix) => fitsScheme(matrix, common))) {
    throw pareError('PARE_FORM_UNSUPPORTED', { operation: 'writing an AWQ folder', found: 'matrices of several group sizes', allowed: 'one group size for all' });
  }
  const dense = modules.filter(({ name, kind }) => kind !== 'embedding' && !schemes.has(name));
  const names = dense.map(({ name }) => name);
  // transformers calls every head by this name, whatever the checkpoint calls it (`embed_out` in GPT-NeoX).
  if (dense.some(({ kind, name }) => kind === 'head' && name !== 'lm_head')) names.push('lm_head');
  return { quant_method: 'awq', bits: common.bits, group_size: common.groupSize, zero_point: true, version: 'gemm', modules_to_not_convert: names };
}
