import type { LayerGrid } from './layers.js';
import type { Direction } from './metrics.js';
import type { Provenance, StageOutcome } from './results.js';
import type { SizeBreakdown } from './sizes.js';

/** What is reported, free of any layout. `pare report --format json` and `pare compare --json` print it. */
export interface Report {
  readonly pareReport: 1;
  readonly title: string;
  readonly cards: readonly Card[];
  /** Columns of the comparison, in order. */
  readonly metrics: readonly MetricColumn[];
  /** Originals first, then the runs in the order given. */
  readonly rows: readonly Row[];
  readonly plots: readonly TradeOffPlot[];
  /** What a reader must know to trust the comparison. */
  readonly notes: readonly string[];
}

export interface Card {
  readonly label: string;
  readonly value: string;
  readonly detail: string;
}

export interface MetricColumn {
  readonly name: string;
  readonly label: string;
  readonly direction: Direction;
  /** False for what refines another metric. Those come last. */
  readonly primary: boolean;
}

export interface Row {
  /** A letter that marks the row in plots. */
  readonly id: string;
  readonly role: 'original' | 'compressed' | 'measured';
  readonly name: string;
  /** Techniques in order, with bits where they are known: `gptq 4 bits`. */
  readonly summary: string;
  /** By metric name; a metric that was not measured is missing. */
  readonly cells: Readonly<Record<string, Cell>>;
  readonly recipe: string | undefined;
  readonly stages: readonly StageOutcome[];
  readonly layers: readonly LayerGrid[];
  readonly size: SizeBreakdown | undefined;
  readonly provenance: Provenance | undefined;
}

export interface Cell {
  readonly value: number;
  readonly text: string;
  /** (value − original) / |original|; undefined without an original or when that is 0. */
  readonly change: number | undefined;
  readonly verdict: 'better' | 'worse' | 'same' | undefined;
  /** True for the best of two or more runs, originals not counted. */
  readonly best: boolean;
  /** True when it was not measured in the run that tells it but taken from an earlier one. */
  readonly cached: boolean;
}

export interface TradeOffPlot {
  /** Metric on the horizontal axis; smaller is better. */
  readonly size: MetricColumn;
  /** Metric on the vertical axis. */
  readonly quality: MetricColumn;
  readonly points: readonly { readonly id: string; readonly name: string; readonly original: boolean; readonly x: number; readonly y: number; readonly front: boolean }[];
}
