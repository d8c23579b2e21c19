export type Direction = 'lower' | 'higher' | 'neutral';

/** What a metric means to a reader. */
export interface MetricMeaning {
  readonly label: string;
  readonly direction: Direction;
  readonly unit: 'bytes' | 'ratio' | 'fraction' | 'bits' | 'count' | 'number';
  /** True for what compression tries to keep: a candidate for the vertical axis of the plot. */
  readonly quality: boolean;
  /** False for what refines another metric: medians, standard errors, per-token figures. */
  readonly primary: boolean;
}

const meaning = (label: string, direction: Direction, unit: MetricMeaning['unit'] = 'number', quality = false): MetricMeaning => ({ label, direction, unit, quality, primary: true });
const refining = (label: string, direction: Direction, unit: MetricMeaning['unit'] = 'number'): MetricMeaning => ({ label, direction, unit, quality: false, primary: false });

/** Metrics by plain name. Those of other evaluators are shown under their own names, without a verdict. */
const known: Readonly<Record<string, MetricMeaning>> = {
  perplexity: meaning('Perplexity', 'lower', 'number', true),
  accuracy: meaning('Accuracy', 'higher', 'fraction', true),
  accuracyNormalized: meaning('Accuracy, normalised', 'higher', 'fraction', true),
  exactMatch: meaning('Exact match', 'higher', 'fraction', true),
  rougeL: meaning('ROUGE-L', 'higher', 'fraction', true),
  klDivergence: meaning('KL divergence', 'lower', 'number', true),
  topOneAgreement: meaning('Top-1 agreement', 'higher', 'fraction', true),
  layerErrorMean: meaning('Layer error', 'lower', 'number', true),
  bytes: meaning('Weights', 'lower', 'bytes'),
  bitsPerWeight: meaning('Bits per weight', 'lower', 'bits'),
  compressionRatio: meaning('Compression ratio', 'higher', 'ratio'),
  prefillTokensPerSecond: meaning('Prefill tokens/s', 'higher'),
  decodeTokensPerSecond: meaning('Decode tokens/s', 'higher'),
  timeToFirstTokenMilliseconds: meaning('Time to first token, ms', 'lower'),
  peakMemoryBytes: meaning('Peak memory', 'lower', 'bytes'),
  weightBytes: meaning('Weights in memory', 'lower', 'bytes'),
  keyValueBytesPerToken: meaning('KV cache per token', 'lower', 'bytes'),
  macs: meaning('MACs', 'lower', 'count'),
  sparsity: meaning('Sparsity', 'neutral', 'fraction'),
  accuracyStandardError: refining('Accuracy, standard error', 'neutral', 'fraction'),
  accuracyNormalizedStandardError: refining('Accuracy, normalised, standard error', 'neutral', 'fraction'),
  exactMatchStandardError: refining('Exact match, standard error', 'neutral', 'fraction'),
  klDivergenceMedian: refining('KL divergence, median', 'lower'),
  klDivergence99: refining('KL divergence, 99th percentile', 'lower'),
  klDivergenceMax: refining('KL divergence, largest', 'lower'),
  perplexityRatio: refining('Perplexity ratio', 'lower'),
  logPerplexityRatio: refining('Log perplexity ratio', 'lower'),
  probabilityChange: refining('Probability change', 'higher'),
  probabilityChangeRms: refining('Probability change, RMS', 'lower'),
  layerErrorWorst: refining('Layer error, worst', 'lower'),
  localLayerErrorMean: refining('Local layer error', 'lower'),
  localLayerErrorWorst: refining('Local layer error, worst', 'lower'),
  parameters: refining('Parameters', 'neutral', 'count'),
  macsPerToken: refining('MACs per token', 'lower', 'count'),
  effectiveMacs: refining('Effective MACs', 'lower', 'count'),
  flops: refining('FLOPs', 'lower', 'count'),
  flopsPerToken: refining('FLOPs per token', 'lower', 'count'),
  effectiveFlops: refining('Effective FLOPs', 'lower', 'count'),
  totalSparsity: refining('Sparsity, all parameters', 'neutral', 'fraction'),
  nonzeroParameters: refining('Nonzero parameters', 'lower', 'count'),
};

/** Meaning of a metric by its plain name; `evaluator.name` means what `name` means. */
export function meaningOf(name: string): MetricMeaning {
  const plain = name.slice(name.lastIndexOf('.') + 1);
  const found = Object.hasOwn(known, plain) ? known[plain] : undefined;
  if (found === undefined) return meaning(name, 'neutral');
  return plain === name ? found : { ...found, label: `${found.label} (${name.slice(0, -plain.length - 1)})` };
}

/** Names in the order that people look for them: quality, size, speed, the rest as given. */
export function sortMetrics(names: Iterable<string>): string[] {
  const order = Object.keys(known);
  const rank = (name: string): number => {
    const index = order.indexOf(name.slice(name.lastIndexOf('.') + 1));
    return index < 0 ? order.length : index;
  };
  return [...new Set(names)].sort((a, b) => rank(a) - rank(b) || (a < b ? -1 : a > b ? 1 : 0));
}

/** A value in the unit that people think of it in. */
export function formatValue(name: string, value: number): string {
  switch (meaningOf(name).unit) {
    case 'bytes':
      return formatBytes(value);
    case 'ratio':
      return `${value.toFixed(2)}×`;
    case 'fraction':
      return value.toFixed(3);
    case 'bits':
      return value.toFixed(2);
    case 'count':
      return formatCount(value);
    case 'number':
      return formatNumber(value);
  }
}

/** Counts in full up to a million, shortened above. */
function formatCount(value: number): string {
  const units = [
    [1e12, 'T'],
    [1e9, 'G'],
    [1e6, 'M'],
  ] as const;
  const unit = units.find(([factor]) => Math.abs(value) >= factor);
  return unit === undefined ? Math.round(value).toLocaleString('en-US') : `${(value / unit[0]).toFixed(2)} ${unit[1]}`;
}

/** Four significant digits; exponents only for what is tiny or huge. */
export function formatNumber(value: number): string {
  const magnitude = Math.abs(value);
  if (value === 0 || (Number.isInteger(value) && magnitude < 1e9)) return value.toLocaleString('en-US');
  if (magnitude < 1e-3 || magnitude >= 1e9) return value.toExponential(2);
  return magnitude >= 1000 ? value.toFixed(0) : value.toPrecision(4);
}

/** Binary units with three digits. */
export function formatBytes(bytes: number): string {
  if (Math.abs(bytes) < 1024) return `${String(Math.round(bytes))} B`;
  const units = ['KiB', 'MiB', 'GiB', 'TiB'];
  let value = bytes / 1024;
  let unit = 0;
  while (Math.abs(value) >= 1000 && unit < units.length - 1) {
    value /= 1024;
    unit++;
  }
  return `${value.toFixed(value < 10 ? 2 : value < 100 ? 1 : 0)} ${units[unit]!}`;
}

/** A relative change: `−62.9 %`, `+3.1 %`. */
export function formatChange(change: number): string {
  const percent = change * 100;
  const digits = Math.abs(percent) >= 1000 ? 0 : Math.abs(percent) < 0.1 && percent !== 0 ? 2 : 1;
  const text = Math.abs(percent).toFixed(digits);
  if (Number(text) === 0) return '0 %';
  return `${percent < 0 ? '−' : '+'}${text} %`;
}
