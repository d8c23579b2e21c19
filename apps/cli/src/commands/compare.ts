import type { Cell, Report } from '@pare/report';
import type { CommandContext } from '../context.js';
import type { Style } from '../terminal/style.js';
import { formatTable } from '../terminal/table.js';
import { reportOf } from '../values/read-results.js';

/** `pare compare`: the comparison of a report as a table in the terminal. */
export async function compare(context: CommandContext, files: readonly string[]): Promise<void> {
  const { terminal } = context;
  const document = await reportOf(context, files);
  if (terminal.json) {
    terminal.printJson(document);
    return;
  }
  const { formatChange } = await import('@pare/report');
  terminal.print(comparisonText(document, terminal.style, formatChange));
  for (const note of document.notes) terminal.note(`${terminal.noteStyle.yellow('note')} ${note}`);
}

/** Rows are runs. A star marks the best value, a second line says how each differs from the original. Metrics that refine others are left to `--json` and reports. */
export function comparisonText({ metrics: all, rows }: Report, style: Style, formatChange: (change: number) => string): string {
  const main = all.filter(({ primary }) => primary);
  const metrics = main.length > 0 ? main : all;
  const change = ({ change: amount, verdict }: Cell): string => {
    if (amount === undefined || amount === 0) return '';
    if (verdict === 'same') return style.dim('same');
    const text = formatChange(amount);
    return verdict === 'better' ? style.green(`▲ ${text}`) : verdict === 'worse' ? style.red(`▼ ${text}`) : style.dim(text);
  };
  const lines = rows.flatMap((row) => {
    const cells = metrics.map(({ name }) => row.cells[name]);
    const text = (cell: Cell): string => (cell.best ? `★ ${style.bold(cell.text)}` : cell.text) + (cell.cached ? style.dim('°') : '');
    const values = [style.bold(row.name), ...cells.map((cell) => (cell === undefined ? '–' : text(cell)))];
    return row.role === 'original' ? [values] : [values, [style.dim(`  ${row.summary}`), ...cells.map((cell) => (cell === undefined ? '' : change(cell)))]];
  });
  const table = formatTable([{ title: '' }, ...metrics.map(({ label }) => ({ title: label, align: 'right' as const }))], lines, style.dim);
  const any = (key: 'best' | 'cached'): boolean => rows.some(({ cells }) => metrics.some(({ name }) => cells[name]?.[key] === true));
  const legend = ['▲ better, ▼ worse than the original', ...(any('best') ? ['★ best of the runs'] : []), ...(any('cached') ? ['° cached, measured in an earlier run'] : [])];
  return `${table}\n\n${style.dim(`${legend.join('; ')}.`)}`;
}
