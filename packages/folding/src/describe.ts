import type { FoldSites, FoldSource } from './sites.js';

/** What can be folded in a block and what not, one line each: `q_proj, k_proj ← input_layernorm.weight`. Names are relative to the block. */
export function describeFoldSites({ sites, skipped }: FoldSites, blockName: string): string {
  const short = (name: string): string => (name.startsWith(`${blockName}.`) ? name.slice(blockName.length + 1) : name);
  const lines = sites.map(({ consumers, sources }) => `${names(consumers.map(({ module }) => short(module)))} ← ${names(sources.map((source) => sourceName(source, short)))}`);
  const reasons = skipped.map(({ modules, reason }) => `${names(modules.map(short))}: skipped, ${reason}`);
  return [...lines, ...reasons].join('\n');
}

/** Long lists (experts) are cut. */
function names(list: readonly string[]): string {
  return list.length <= 6 ? list.join(', ') : `${list.slice(0, 3).join(', ')}, … ${list.at(-1)!} (${String(list.length)})`;
}

function sourceName(source: FoldSource, short: (name: string) => string): string {
  if (source.kind === 'vector') return short(source.tensor);
  const runs = intervals(source.channels);
  const whole = runs.length === 1 && runs[0]![1] - runs[0]![0] === source.channels.length;
  return whole ? short(source.module) : `${short(source.module)} rows ${runs.slice(0, 4).map(([start, end]) => `${String(start)}–${String(end - 1)}`).join(', ')}${runs.length > 4 ? ', …' : ''}`;
}

/** Runs of elements that carry a scale, ends exclusive. */
function intervals(channels: Int32Array): [number, number][] {
  const runs: [number, number][] = [];
  for (const [index, channel] of channels.entries()) {
    if (channel < 0) continue;
    const last = runs.at(-1);
    if (last?.[1] === index) last[1]++;
    else runs.push([index, index + 1]);
  }
  return runs;
}
