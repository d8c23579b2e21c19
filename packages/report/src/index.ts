export { buildReport, type ReportOptions } from './build-report.js';
export type { Card, Cell, MetricColumn, Report, Row, TradeOffPlot } from './document.js';
export type { LayerCell, LayerGrid } from './layers.js';
export { formatBytes, formatChange, formatNumber, formatValue, meaningOf, type Direction, type MetricMeaning } from './metrics.js';
export { paretoFront, type TradeOff } from './pareto.js';
export { renderHtml } from './render-html.js';
export { cellText, renderCsv, renderJson, renderMarkdown, verdictMark } from './render-text.js';
export { parseResult, parseResults, type EvaluationResultRecord, type Metrics, type ModuleOutcome, type Provenance, type ResultInput, type StageOutcome, type StoredTensor } from './results.js';
export { breakDown, moduleKindOf, sizePartLabels, sizePartOf, sizeParts, type ModuleKind, type SizeBreakdown, type SizePart } from './sizes.js';
