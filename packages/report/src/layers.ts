import type { EvaluationResultRecord, StageOutcome } from './results.js';

/** A value for every layer and module of that layer; undefined where there is none. */
export interface LayerGrid {
  readonly title: string;
  /** What the numbers are and how the shades are scaled. */
  readonly note: string;
  readonly layers: readonly string[];
  readonly columns: readonly string[];
  /** `cells[layer][column]`. */
  readonly cells: readonly (readonly (LayerCell | undefined)[])[];
}

export interface LayerCell {
  readonly value: number;
  /** 0 … 1, how strongly the cell is shaded. */
  readonly shade: number;
}

/** The value that all cells of a grid have, when they have one: a sentence says more then. */
export function uniformValue({ cells }: LayerGrid): number | undefined {
  const values = new Set(cells.flat().map((cell) => cell?.value));
  return values.size === 1 ? [...values][0] : undefined;
}

/** `model.layers.3.self_attn.q_proj` as layer `3` and column `self_attn.q_proj`; undefined outside of layers. */
export function splitModule(module: string): { readonly layer: string; readonly column: string } | undefined {
  const match = /(?:^|\.)(?:layers|h|blocks|layer)\.(\d+)\.(.+)$/.exec(module);
  return match === null ? undefined : { layer: match[1]!, column: match[2]!.replace(/\.weight$/, '') };
}

/** Bits that get the darkest shade, so that runs can be compared. */
const darkestBits = 16;

interface Entry {
  readonly layer: string;
  readonly column: string;
  readonly value: number;
}

/** Grids of what is known by layer: bits, sparsity, rank and loss of every stage, and what evaluators say about layers. */
export function layerGrids(stages: readonly StageOutcome[], evaluations: readonly EvaluationResultRecord[]): LayerGrid[] {
  const grids: (LayerGrid | undefined)[] = [];
  const finalBits = new Map<string, number>();
  const finalSparsity = new Map<string, number>();
  const finalRanks = new Map<string, number>();
  for (const { modules } of stages) {
    for (const { module, bits, sparsity, rank } of modules) {
      if (bits !== undefined) finalBits.set(module, bits);
      if (sparsity !== undefined) finalSparsity.set(module, sparsity);
      if (rank !== undefined) finalRanks.set(module, rank);
    }
  }
  for (const { technique, modules } of stages) {
    const losses = modules.flatMap(({ module, loss }) => (loss === undefined ? [] : [{ module, value: loss }]));
    grids.push(
      grid(`Error by ${technique}`, `What ${technique} minimises, lower is better. Shades compare the layers within a column: darkest is the column's largest.`, entriesOf(losses), 'column'),
    );
  }
  for (const { evaluator, details } of evaluations) {
    const entries = detailEntries(details);
    if (entries.length > 0) grids.push(grid(`Layers by ${evaluator}`, `As ${evaluator} measured them. Shades compare the layers within a column: darkest is the column's largest.`, entries, 'column'));
  }
  grids.push(grid('Bits', 'Bits a code; the more, the darker.', entriesOf([...finalBits].map(([module, value]) => ({ module, value }))), darkestBits));
  grids.push(grid('Sparsity', 'Share of weights that are pruned; the more, the darker.', entriesOf([...finalSparsity].map(([module, value]) => ({ module, value }))), 1));
  const ranks = [...finalRanks].map(([module, value]) => ({ module, value }));
  grids.push(grid('Rank', "Inner width of factorized matrices. Shades compare the layers within a column: darkest is the column's largest.", entriesOf(ranks), 'column'));
  return grids.filter((found) => found !== undefined);
}

function entriesOf(values: readonly { readonly module: string; readonly value: number }[]): Entry[] {
  return values.flatMap(({ module, value }) => {
    const place = splitModule(module);
    return place === undefined ? [] : [{ ...place, value }];
  });
}

/** Lists of `{ layer | block | index, …numbers }` under `layers` or `blocks` of an evaluator's details. */
function detailEntries(details: Readonly<Record<string, unknown>> | undefined): Entry[] {
  const list = details?.['layers'] ?? details?.['blocks'];
  if (!Array.isArray(list)) return [];
  return (list as readonly unknown[]).flatMap((item, position) => {
    if (typeof item !== 'object' || item === null) return [];
    const { layer, block, index, ...numbers } = item as Readonly<Record<string, unknown>>;
    const named = [layer, block, index].find((name) => typeof name === 'number' || typeof name === 'string');
    const place = named === undefined ? String(position) : String(named);
    return Object.entries(numbers).flatMap(([column, value]) => (typeof value === 'number' && Number.isFinite(value) ? [{ layer: place, column, value }] : []));
  });
}

/** @param scale the value with the darkest shade, or `column` for each column's largest */
function grid(title: string, note: string, entries: readonly Entry[], scale: number | 'column'): LayerGrid | undefined {
  if (entries.length === 0) return undefined;
  const layers = [...new Set(entries.map(({ layer }) => layer))].sort((a, b) => a.localeCompare(b, 'en', { numeric: true }));
  const columns = [...new Set(entries.map(({ column }) => column))];
  const values = new Map(entries.map(({ layer, column, value }) => [`${layer}\n${column}`, value]));
  const largest = new Map<string, number>();
  for (const { column, value } of entries) largest.set(column, Math.max(largest.get(column) ?? 0, Math.abs(value)));
  const cells = layers.map((layer) =>
    columns.map((column) => {
      const value = values.get(`${layer}\n${column}`);
      if (value === undefined) return undefined;
      const darkest = scale === 'column' ? largest.get(column)! : scale;
      return { value, shade: darkest === 0 ? 0 : Math.min(1, Math.abs(value) / darkest) };
    }),
  );
  return { title, note, layers, columns, cells };
}
