import { pareError } from '@pare/core';
import type { Card, Cell, MetricColumn, Report, Row, TradeOffPlot } from './document.js';
import { layerGrids } from './layers.js';
import { formatChange, formatValue, meaningOf, sortMetrics } from './metrics.js';
import { paretoFront } from './pareto.js';
import type { Metrics, ResultInput, StageOutcome } from './results.js';
import { breakDown } from './sizes.js';

export interface ReportOptions {
  /** Heading of the report; by default made from what is compared. */
  readonly title?: string | undefined;
}

/** A model before compression, shared by the runs that started from it. */
interface Original {
  readonly name: string;
  /** Hashes of the source's files, when a manifest tells them. */
  readonly hash: string | undefined;
  metrics: Metrics;
  /** Names of metrics that were not measured in the run that tells them. */
  readonly cached: Set<string>;
}

/** A result with the original it is compared with. */
interface Run {
  readonly result: ResultInput;
  readonly original: Original | undefined;
}

/** At most so many plots: one a quality metric. */
const plotLimit = 3;

/**
 * The document of a report. Results of one location become one run: measurements by `pare evaluate` complete an output folder's own.
 * A measurement of a model that a run started from completes that run's original.
 * @throws PARE_REPORT_EMPTY when no result has a metric
 */
export function buildReport(inputs: readonly ResultInput[], options: ReportOptions = {}): Report {
  const notes: string[] = [];
  const { runs, originals } = pair(mergeByLocation(inputs, notes), notes);
  const names = sortMetrics([...originals.map(({ metrics }) => metrics), ...runs.map(({ result }) => result.after)].flatMap(Object.keys));
  if (names.length === 0) throw pareError('PARE_REPORT_EMPTY', { files: inputs.map(({ file }) => file) });
  const metrics = names.map((name): MetricColumn => ({ name, label: meaningOf(name).label, direction: meaningOf(name).direction, primary: meaningOf(name).primary }));
  metrics.sort((a, b) => Number(b.primary) - Number(a.primary));

  const taken = new Map<string, number>();
  const unique = (name: string): string => {
    const count = (taken.get(name) ?? 0) + 1;
    taken.set(name, count);
    return count === 1 ? name : `${name} (${String(count)})`;
  };
  const shown = originals.filter((original) => Object.keys(original.metrics).length > 0);
  const rows: Row[] = [
    ...shown.map(
      (original, index): Row => ({
        id: letter(index),
        role: 'original',
        name: unique(original.name),
        summary: 'before compression',
        cells: cellsOf(original.metrics, undefined, undefined, original.cached),
        recipe: undefined,
        stages: [],
        layers: [],
        size: undefined,
        provenance: undefined,
      }),
    ),
    ...runs.map(({ result, original }, index): Row => {
      return {
        id: letter(shown.length + index),
        role: result.kind,
        name: unique(result.name),
        summary: summarise(result.stages),
        cells: cellsOf(result.after, original?.metrics, runs, cachedMetrics(result)),
        recipe: result.recipe,
        stages: result.stages,
        layers: layerGrids(result.stages, result.evaluations),
        size: result.tensors === undefined || result.tensors.length === 0 ? undefined : breakDown(result.tensors),
        provenance: result.provenance,
      };
    }),
  ];
  noteFallbacks(runs, notes);
  noteUnequalSettings(runs, notes);
  const plots = plotsOf(metrics, rows);
  return { pareReport: 1, title: options.title ?? titleOf(runs, shown), cards: cardsOf(metrics, rows, plots), metrics, rows, plots, notes };
}

/** Results with one location as one: the first of a recipe leads, metrics and evaluations of the others complete it. */
function mergeByLocation(inputs: readonly ResultInput[], notes: string[]): ResultInput[] {
  const groups = new Map<string, ResultInput[]>();
  for (const input of inputs) groups.set(input.location, [...(groups.get(input.location) ?? []), input]);
  return [...groups.values()].map((group) => {
    const lead = group.find(({ kind, provenance }) => kind === 'compressed' && provenance !== undefined) ?? group.find(({ kind }) => kind === 'compressed') ?? group[0]!;
    const others = group.filter((input) => input !== lead);
    return others.reduce<ResultInput>((merged, other) => {
      for (const name of Object.keys(other.after)) {
        if (differ(merged.after[name], other.after[name])) notes.push(`${merged.name}: ${name} was measured twice with different results; ${other.file} is shown.`);
      }
      return {
        ...merged,
        before: { ...merged.before, ...other.before },
        after: { ...merged.after, ...other.after },
        evaluations: [...merged.evaluations, ...other.evaluations],
        tensors: merged.tensors ?? other.tensors,
      };
    }, lead);
  });
}

/** Finds each run's original. Measurements of originals are taken out of the runs. */
function pair(results: readonly ResultInput[], notes: string[]): { readonly runs: readonly Run[]; readonly originals: readonly Original[] } {
  const originals: Original[] = [];
  const find = (result: ResultInput): Original => {
    const { provenance, before } = result;
    const source = provenance?.source.name ?? result.source;
    const hash = provenance?.source.files.map(({ path, sha256 }) => `${path} ${sha256}`).join('\n');
    const fits = (original: Original): boolean =>
      (source === undefined || original.name === source) &&
      (hash === undefined || original.hash === undefined || original.hash === hash) &&
      Object.keys(before).every((name) => !differ(original.metrics[name], before[name]));
    const found = originals.find(fits);
    if (found !== undefined) {
      found.metrics = { ...found.metrics, ...before };
      return found;
    }
    const created = { name: source ?? 'original', hash, metrics: before, cached: new Set<string>() };
    originals.push(created);
    return created;
  };

  // Manifests first: they name their originals, which documents without provenance can then be matched with.
  const known = new Map<ResultInput, Original>();
  const compressed = results.filter(({ kind }) => kind === 'compressed');
  for (const result of compressed.filter(({ provenance }) => provenance !== undefined)) known.set(result, find(result));
  for (const result of compressed.filter(({ provenance }) => provenance === undefined)) known.set(result, find(result));

  const runs: Run[] = [];
  for (const result of results) {
    // Another model may have the same name; its numbers give it away.
    const agrees = ({ name, metrics }: Original): boolean => name === result.name && Object.keys(metrics).every((metric) => !differ(metrics[metric], result.after[metric]));
    const own = result.kind === 'measured' ? originals.filter(agrees) : [];
    if (own.length === 0) {
      runs.push({ result, original: known.get(result) ?? (originals.length === 1 ? originals[0] : undefined) });
      continue;
    }
    for (const original of own) {
      for (const name of cachedMetrics(result)) if (!(name in original.metrics)) original.cached.add(name);
      original.metrics = { ...result.after, ...original.metrics };
    }
  }
  if (originals.length > 1) notes.push('The runs did not start from the same model with the same measurements; compare each with its own original.');
  return { runs, originals };
}

/** True for two measured values that are not equal up to rounding. */
function differ(a: number | undefined, b: number | undefined): boolean {
  return a !== undefined && b !== undefined && Math.abs(a - b) > 1e-6 * Math.max(Math.abs(a), Math.abs(b));
}

/** Changes below this are called the same. */
const smallestChange = 5e-5;

/** Names of metrics that a result took from an earlier run. */
function cachedMetrics({ evaluations, after }: ResultInput): ReadonlySet<string> {
  const names = evaluations.flatMap(({ evaluator, metrics, cached }) => (cached ? Object.keys(metrics).map((name) => (metrics[name] === after[name] ? name : `${evaluator}.${name}`)) : []));
  return new Set(names);
}

function cellsOf(metrics: Metrics, original: Metrics | undefined, runs: readonly Run[] | undefined, cached: ReadonlySet<string>): Record<string, Cell> {
  return Object.fromEntries(
    Object.entries(metrics).map(([name, value]): [string, Cell] => {
      const { direction } = meaningOf(name);
      const before = original?.[name];
      const change = before === undefined || before === 0 ? undefined : (value - before) / Math.abs(before);
      const gain = change === undefined || direction === 'neutral' ? undefined : direction === 'higher' ? change : -change;
      const verdict = gain === undefined ? undefined : Math.abs(gain) < smallestChange ? 'same' : gain > 0 ? 'better' : 'worse';
      const values = (runs ?? []).flatMap(({ result }) => result.after[name] ?? []);
      const text = formatValue(name, value);
      // Values that read the same share the star; where all do, nobody gets one.
      const bestText = values.length === 0 ? '' : formatValue(name, direction === 'higher' ? Math.max(...values) : Math.min(...values));
      const distinct = new Set(values.map((other) => formatValue(name, other))).size > 1;
      return [name, { value, text, change, verdict, best: distinct && direction !== 'neutral' && text === bestText, cached: cached.has(name) }];
    }),
  );
}

/** `gptq 4 bits`, `smoothquant → gptq 4 bits`. */
function summarise(stages: readonly StageOutcome[]): string {
  if (stages.length === 0) return 'measured only';
  return stages
    .map(({ technique, modules, options }) => {
      // A recipe that was only evaluated has no list of modules; its options say what was asked for.
      const asked = typeof options['bits'] === 'number' && modules.length === 0 ? [options['bits']] : [];
      const bits = [...new Set([...asked, ...modules.flatMap((module) => module.bits ?? [])])].sort((a, b) => a - b);
      const group = options['groupSize'];
      const words = [technique];
      if (bits.length > 0) words.push(`${bits.join('/')} bits`);
      if (typeof group === 'number' && group > 0) words.push(`group ${String(group)}`);
      return words.join(', ');
    })
    .join(' → ');
}

function noteFallbacks(runs: readonly Run[], notes: string[]): void {
  for (const { result } of runs) {
    for (const { technique, modules } of result.stages) {
      const fallbacks = modules.filter(({ fallback }) => fallback !== undefined);
      if (fallbacks.length === 0) continue;
      const others = fallbacks.length === 1 ? '' : `, and ${String(fallbacks.length - 1)} more`;
      notes.push(`${result.name}: ${technique} treated ${fallbacks[0]!.module} otherwise than asked (${fallbacks[0]!.fallback!})${others}.`);
    }
  }
}

/** Numbers measured with different options cannot be compared; says so. */
function noteUnequalSettings(runs: readonly Run[], notes: string[]): void {
  const settings = new Map<string, Map<string, string>>();
  for (const { result } of runs) {
    for (const { evaluator, options } of result.evaluations) {
      const text = JSON.stringify(Object.entries(options).sort(([a], [b]) => (a < b ? -1 : 1)));
      settings.set(evaluator, (settings.get(evaluator) ?? new Map<string, string>()).set(text, result.name));
    }
  }
  for (const [evaluator, variants] of settings) {
    if (variants.size > 1) notes.push(`${evaluator} ran with different options (${[...variants.values()].join(', ')}); its numbers cannot be compared.`);
  }
}

function plotsOf(metrics: readonly MetricColumn[], rows: readonly Row[]): TradeOffPlot[] {
  const size = metrics.find(({ name }) => name === 'bytes') ?? metrics.find(({ name }) => name === 'bitsPerWeight');
  if (size === undefined) return [];
  return metrics
    .filter(({ name }) => meaningOf(name).quality)
    .flatMap((quality): TradeOffPlot[] => {
      const measured = rows.flatMap(({ id, name, role, cells }) => {
        const x = cells[size.name]?.value;
        const y = cells[quality.name]?.value;
        return x === undefined || y === undefined ? [] : [{ id, name, original: role === 'original', x, y }];
      });
      if (measured.length < 2) return [];
      const front = paretoFront(measured, quality.direction === 'higher' ? 'higher' : 'lower');
      return [{ size, quality, points: measured.map((point, index) => ({ ...point, front: front[index]! })) }];
    })
    .slice(0, plotLimit);
}

function cardsOf(metrics: readonly MetricColumn[], rows: readonly Row[], plots: readonly TradeOffPlot[]): Card[] {
  const runs = rows.filter(({ role }) => role !== 'original');
  const cards: Card[] = [];
  const comparison = (cell: Cell): string =>
    cell.change === undefined ? '' : cell.verdict === 'same' ? 'as the original' : `${formatChange(cell.change)} against the original`;
  if (runs.length === 1) {
    for (const { name, label, direction } of metrics) {
      const cell = runs[0]!.cells[name];
      if (cell !== undefined && direction !== 'neutral' && cards.length < 4) cards.push({ label, value: cell.text, detail: comparison(cell) });
    }
    return cards;
  }
  for (const { name, label, direction } of metrics) {
    const best = runs.find(({ cells }) => cells[name]?.best === true);
    // Two of quality, then size.
    const wanted = name === 'bytes' || (meaningOf(name).quality && cards.length < 2);
    if (best === undefined || !wanted) continue;
    const cell = best.cells[name]!;
    const title = name === 'bytes' ? 'Smallest' : `${direction === 'lower' ? 'Lowest' : 'Highest'} ${label.toLowerCase().replace('kl ', 'KL ')}`;
    const detail = comparison(cell);
    cards.push({ label: title, value: cell.text, detail: detail === '' ? best.name : `${best.name}, ${detail}` });
  }
  const [plot] = plots;
  if (plot !== undefined) {
    const candidates = plot.points.filter(({ original }) => !original);
    const front = candidates.filter((point) => point.front);
    cards.push({ label: 'On the Pareto front', value: `${String(front.length)} of ${String(candidates.length)}`, detail: front.map(({ name }) => name).join(', ') });
  }
  return cards;
}

function titleOf(runs: readonly Run[], originals: readonly Original[]): string {
  const base = originals.length === 1 && originals[0]!.name !== 'original' ? ` of ${originals[0]!.name}` : '';
  return runs.length === 1 ? `${runs[0]!.result.name}: what compression cost` : `${String(runs.length)} runs${base} compared`;
}

/** A … Z, AA, AB, … */
function letter(index: number): string {
  return (index >= 26 ? letter(Math.floor(index / 26) - 1) : '') + String.fromCharCode(65 + (index % 26));
}
