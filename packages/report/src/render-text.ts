import type { Cell, Report, Row } from './document.js';
import { uniformValue, type LayerGrid } from './layers.js';
import { formatBytes, formatChange, formatNumber } from './metrics.js';
import { sizePartLabels, sizeParts } from './sizes.js';

/** Sign of a change, for those who see no colours: better or worse than the original. */
export function verdictMark(verdict: Cell['verdict']): string {
  return verdict === 'better' ? '▲' : verdict === 'worse' ? '▼' : verdict === 'same' ? '=' : '';
}

/** `5.20 MiB ★`, with the change where there is an original. */
export function cellText(cell: Cell | undefined): string {
  if (cell === undefined) return '';
  const change = cell.change === undefined || cell.verdict === 'same' || cell.change === 0 ? '' : ` (${verdictMark(cell.verdict)}${cell.verdict === undefined ? '' : ' '}${formatChange(cell.change)})`;
  return `${cell.text}${change}${cell.best ? ' ★' : ''}${cell.cached ? ' °' : ''}`;
}

/** Whether a value was taken from an earlier run. */
export function anyCached({ rows }: Report): boolean {
  return rows.some(({ cells }) => Object.values(cells).some(({ cached }) => cached));
}

/** Text that Markdown shows as it is, on one line. */
function plain(text: string): string {
  return text
    .replace(/\s+/g, ' ')
    .replace(/[\\`*_{}[\]()#+!|~<>&]/g, (character) => (character === '<' ? '&lt;' : character === '>' ? '&gt;' : character === '&' ? '&amp;' : `\\${character}`));
}

function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]): string => `| ${cells.join(' | ')} |`;
  return [line(head), `|${head.map((_, index) => (index === 0 ? '---' : '---:')).join('|')}|`, ...rows.map(line)].join('\n');
}

/** The report as Markdown tables. */
export function renderMarkdown(report: Report): string {
  const { metrics, rows } = report;
  const parts = [
    `# ${plain(report.title)}`,
    table(
      ['run', ...metrics.map(({ label }) => plain(label))],
      rows.map((row) => [`${plain(row.name)} · ${plain(row.summary)}`, ...metrics.map(({ name }) => plain(cellText(row.cells[name])))]),
    ),
    `▲ better, ▼ worse than the original; ★ best of the runs${anyCached(report) ? '; ° cached, measured in an earlier run' : ''}.`,
  ];
  if (report.notes.length > 0) parts.push('## Notes', report.notes.map((note) => `- ${plain(note)}`).join('\n'));
  for (const { size, quality, points } of report.plots) {
    parts.push(
      `## ${plain(quality.label)} against ${plain(size.label.toLowerCase())}`,
      `On the Pareto front: ${points
        .filter(({ front }) => front)
        .map(({ name }) => plain(name))
        .join(', ')}.`,
    );
  }
  const sized = rows.filter(({ size }) => size !== undefined);
  if (sized.length > 0) {
    const used = sizeParts.filter((part) => sized.some(({ size }) => size!.parts.some((entry) => entry.part === part)));
    parts.push(
      '## Where the bytes are',
      table(
        ['run', ...used.map((part) => sizePartLabels[part]), 'Total'],
        sized.map(({ name, size }) => [plain(name), ...used.map((part) => formatBytes(size!.parts.find((entry) => entry.part === part)?.bytes ?? 0)), formatBytes(size!.total)]),
      ),
    );
  }
  for (const row of rows) parts.push(...layerTables(row));
  return `${parts.join('\n\n')}\n`;
}

function layerTables({ name, layers }: Row): string[] {
  return layers.flatMap((grid) => [
    `## ${plain(name)}: ${plain(grid.title.toLowerCase())}, layer by layer`,
    uniformValue(grid) !== undefined ? uniformText(uniformValue(grid)!) : `${plain(grid.note)}\n\n${gridTable(grid)}`,
  ]);
}

/** What is said of a grid with one value everywhere. */
export function uniformText(value: number): string {
  return `${formatNumber(value)} in every layer and matrix.`;
}

function gridTable(grid: LayerGrid): string {
  return table(
    ['layer', ...grid.columns.map(plain)],
    grid.layers.map((layer, index) => [layer, ...grid.cells[index]!.map((cell) => (cell === undefined ? '' : formatNumber(cell.value)))]),
  );
}

/**
 * The comparison as CSV (RFC 4180): one line a run, plain metric names as columns, full precision.
 * Texts that a spreadsheet would take for a formula get an apostrophe in front.
 */
export function renderCsv(report: Report): string {
  const { metrics, rows } = report;
  const field = (text: string): string => {
    const safe = /^[=+\-@\t\r]/.test(text) ? `'${text}` : text;
    return /[",\r\n]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
  };
  const lines = [
    ['run', 'role', 'recipe', ...metrics.map(({ name }) => name), ...(anyCached(report) ? ['cached'] : [])].map(field),
    ...rows.map((row) => [
      field(row.name),
      row.role,
      field(row.summary),
      ...metrics.map(({ name }) => (row.cells[name] === undefined ? '' : String(row.cells[name].value))),
      // Names of the metrics that were measured in an earlier run.
      ...(anyCached(report) ? [field(metrics.flatMap(({ name }) => (row.cells[name]?.cached === true ? [name] : [])).join(' '))] : []),
    ]),
  ];
  return lines.map((line) => `${line.join(',')}\r\n`).join('');
}

/** The document itself. */
export function renderJson(report: Report): string {
  return `${JSON.stringify(report, undefined, 2)}\n`;
}
