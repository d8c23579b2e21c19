import { formatBytes } from '@pare/report';
import { element } from './dom';
import type { Outcome } from './protocol';

/** Shows what a run has made, and what it cost. */
export function showResult(outcome: Outcome): void {
  element('tiles').replaceChildren(
    ...[
      tile('Size of the weights', outcome, 'bytes', formatBytes, (ratio) => `${(1 / ratio).toFixed(2)} times smaller`),
      tile('Bits a weight', outcome, 'bitsPerWeight', (value) => value.toFixed(2), undefined),
      tile('Perplexity (lower is better)', outcome, 'perplexity', (value) => value.toFixed(value < 1000 ? 3 : 0), (ratio) => `${ratio >= 1 ? '+' : '−'}${Math.abs(100 * (ratio - 1)).toFixed(1)} %`),
    ].filter((made) => made !== undefined),
  );
  element('texts').hidden = outcome.textBefore === undefined;
  element('text-before').textContent = outcome.textBefore ?? '';
  element('text-after').textContent = outcome.textAfter ?? '';
  const total = outcome.files.reduce((sum, { bytes }) => sum + bytes, 0);
  const fallbacks = outcome.fallbacks.map(({ module, reason }) => `${module}: ${reason}.`).join(' ');
  element('result-note').textContent = `${outcome.name}: ${String(outcome.files.length)} files, ${formatBytes(total)}, read back and compared. ${fallbacks}`;
  element('save').hidden = !('showDirectoryPicker' in window);
  element('result').hidden = false;
  element('result-title').focus();
}

/** A figure before and after as two bars. */
function tile(title: string, { before, after }: Outcome, metric: string, format: (value: number) => string, change: ((ratio: number) => string) | undefined): HTMLElement | undefined {
  const [a, b] = [before[metric], after[metric]];
  if (a === undefined || b === undefined) return undefined;
  const box = document.createElement('div');
  box.className = 'tile';
  const heading = document.createElement('h3');
  heading.textContent = title;
  const values = document.createElement('div');
  values.className = 'values';
  for (const [label, value] of [['before', a], ['after', b]] as const) {
    const name = document.createElement('span');
    name.textContent = label;
    const track = document.createElement('span');
    const bar = document.createElement('div');
    bar.className = `bar ${label}`;
    bar.style.width = `${String((100 * value) / Math.max(a, b))}%`;
    track.append(bar);
    const figure = document.createElement('strong');
    figure.dataset['metric'] = `${metric}-${label}`;
    figure.dataset['value'] = String(value);
    figure.textContent = format(value);
    values.append(name, track, figure);
  }
  box.append(heading, values);
  if (change !== undefined) {
    const line = document.createElement('p');
    line.className = 'change';
    line.textContent = change(b / a);
    box.append(line);
  }
  return box;
}
