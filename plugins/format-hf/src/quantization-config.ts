import type { ModuleInfo } from '@pare/core';
import type { SchemeSummary } from '@pare/hf-folder';
import { configGroup } from './config-group.js';
import { schemeKey, schemeOf, type PackedScheme } from './packed-scheme.js';

/** Version of the configuration's layout. */
const formatVersion = '0.15.0';

/**
 * The `quantization_config` of a folder in compressed-tensors' formats. One scheme: a group for the class `Linear`, with
 * the dense Linear layers in `ignore`. Several: a group for each, with its modules by name. `QuantizationArgs` refuses keys it does not know,
 * so there are none but those of every version.
 *
 * @param schemes Schemes of the quantized modules by name; at least one.
 * @param unpacked as in `layoutOf`
 */
export function quantizationConfig(modules: readonly ModuleInfo[], schemes: ReadonlyMap<string, SchemeSummary>, unpacked: boolean): Readonly<Record<string, unknown>> {
  const groups = new Map<string, { readonly scheme: PackedScheme; readonly targets: string[] }>();
  // The group of the experts goes first: transformers takes the first group with plain names for theirs.
  const ordered = [...modules].sort((a, b) => Number(b.expert !== undefined) - Number(a.expert !== undefined));
  for (const { name } of ordered) {
    const summary = schemes.get(name);
    if (summary === undefined) continue;
    const scheme = schemeOf(summary, unpacked);
    const group = groups.get(schemeKey(scheme));
    if (group === undefined) groups.set(schemeKey(scheme), { scheme, targets: [name] });
    else group.targets.push(name);
  }
  const single = groups.size === 1;
  const layouts = new Set([...groups.values()].map(({ scheme }) => scheme.layout));
  // Only what would be a Linear to a reader can be ignored; a tied head is one, without weights of its own.
  const ignore = modules.filter(({ name, kind, layout }) => kind !== 'embedding' && layout === 'out-in' && !schemes.has(name));
  const ignored = ignore.map(({ name }) => name);
  // transformers 5 calls every head by this name, whatever the checkpoint calls it (`embed_out` in GPT-NeoX).
  if (ignore.some(({ kind, name }) => kind === 'head' && name !== 'lm_head')) ignored.push('lm_head');
  return {
    quant_method: 'compressed-tensors',
    version: formatVersion,
    format: layouts.size === 1 ? [...layouts][0] : 'mixed-precision',
    quantization_status: 'compressed',
    global_compression_ratio: null,
    ignore: ignored,
    kv_cache_scheme: null,
    sparsity_config: {},
    transform_config: {},
    config_groups: Object.fromEntries(
      [...groups.values()].map(({ scheme, targets }, index) => [`group_${String(index)}`, configGroup(scheme, single ? ['Linear'] : targets)]),
    ),
  };
}
