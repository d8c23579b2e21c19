import type { ModelSummary, ModuleInfo, ModulePlan, ModuleRole } from '@pare/core';

/** Layers that vLLM joins into one, by role, and the last part of the joined layer's name. */
const merged: readonly { readonly roles: readonly ModuleRole[]; readonly name: string }[] = [
  { roles: ['attention.query', 'attention.key', 'attention.value'], name: 'qkv_proj' },
  { roles: ['mlp.gate', 'mlp.up'], name: 'gate_up_proj' },
];

/** The name that vLLM knows a module by, where it joins it with others: `model.layers.0.self_attn.qkv_proj`. */
export function mergedName({ role, name, expert }: ModuleInfo): string | undefined {
  const found = expert === undefined ? merged.find(({ roles }) => roles.includes(role)) : undefined;
  return found === undefined ? undefined : name.replace(/[^.]*$/, found.name);
}

/** What vLLM will not open because it joins layers that are stored differently. */
export function mergedProblems(summary: ModelSummary, planOf: (module: string) => ModulePlan | undefined): readonly string[] {
  const schemes = new Map<string, Set<string>>();
  for (const info of summary.modules) {
    const name = mergedName(info);
    if (name === undefined) continue;
    const plan = planOf(info.name);
    const scheme = plan === undefined ? 'dense' : `${String(plan.bits)} ${String(plan.groupSize)} ${String(plan.symmetric)}`;
    schemes.set(name, (schemes.get(name) ?? new Set()).add(scheme));
  }
  const split = [...schemes].filter(([, found]) => found.size > 1).map(([name]) => name);
  if (split.length === 0) return [];
  return [`vLLM joins layers into ${split[0]!}${split.length === 1 ? '' : ` and ${String(split.length - 1)} others`}, whose parts are stored differently here: it will not open this folder.`];
}
