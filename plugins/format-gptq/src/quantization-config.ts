import type { ModuleInfo } from '@pare/core';
import { commonScheme, fitsScheme, type MatrixScheme, type SchemeSummary } from '@pare/hf-folder';
import { blockTargets } from './block-targets.js';
import type { CheckpointVersion } from './matrix-parts.js';
import { mergedName } from './merged-layers.js';

/** Who wrote the folder, as GPTQModel wants to know it. */
export const producer = 'pare:0.1.0';

/**
 * The `quantization_config` of a GPTQ folder (GPTQModel's `QuantizeConfig`; transformers' `GPTQConfig`). The most frequent scheme is the folder's; matrices of another one, and
 * linear layers of blocks that stay dense, are told apart by `dynamic`, whose keys are patterns that begin with `+:` or `-:`.
 *
 * @param schemes Schemes of the quantized modules by name; at least one.
 */
export function quantizationConfig(modules: readonly ModuleInfo[], schemes: ReadonlyMap<string, SchemeSummary>, version: CheckpointVersion): Readonly<Record<string, unknown>> {
  const matrices = new Map<string, MatrixScheme>();
  for (const { name, shape } of modules) {
    const scheme = schemes.get(name)?.scheme;
    if (scheme !== undefined) matrices.set(name, { bits: scheme.bits, groupSize: scheme.granularity === 'group' ? scheme.groupSize : -1, columns: shape[1] });
  }
  const common = commonScheme([...matrices.values()])!;
  const isException = (name: string): boolean => {
    const matrix = matrices.get(name);
    return matrix !== undefined && !fitsScheme(matrix, common);
  };
  const dynamic: Record<string, Record<string, number>> = {};
  for (const info of modules) {
    const matrix = matrices.get(info.name);
    if (matrix === undefined) {
      if (info.block !== undefined) dynamic[`-:${pattern(info, (name) => !matrices.has(name), modules)}`] = {};
    } else if (isException(info.name)) {
      dynamic[`+:${pattern(info, isException, modules)}`] = { bits: matrix.bits, group_size: matrix.groupSize };
    }
  }
  const targets = blockTargets(modules, new Set(matrices.keys()));
  const all = [...schemes.values()];
  return {
    quant_method: 'gptq',
    bits: common.bits,
    group_size: common.groupSize,
    // Order inside static groups leaves no trace in the file; only a stored index is to be declared.
    desc_act: all.some(({ groupIndex }) => groupIndex),
    sym: all.every(({ scheme }) => scheme.symmetric),
    lm_head: modules.some(({ name, kind }) => kind === 'head' && matrices.has(name)),
    checkpoint_format: version === 1 ? 'gptq' : 'gptq_v2',
    pack_dtype: 'int32',
    ...(Object.keys(dynamic).length === 0 ? {} : { dynamic }),
    ...(targets.kind === 'some' ? { modules_in_block_to_quantize: [targets.names] } : {}),
    meta: { quantizer: [producer] },
  };
}

/** A pattern for a module; where all layers that vLLM joins with it are meant, for the joined one, too. */
function pattern(info: ModuleInfo, isMeant: (module: string) => boolean, modules: readonly ModuleInfo[]): string {
  const joined = mergedName(info);
  const escape = (name: string): string => name.replaceAll('.', '\\.');
  if (joined === undefined) return `^${escape(info.name)}$`;
  const alike = modules.filter((other) => mergedName(other) === joined).every(({ name }) => isMeant(name));
  return alike ? `^(${escape(info.name)}|${escape(joined)})$` : `^${escape(info.name)}$`;
}
