import { visibleLength } from './style.js';

export interface Column {
  readonly title: string;
  readonly align?: 'left' | 'right';
}

/** Rows as aligned text, two spaces between columns. */
export function formatTable(columns: readonly Column[], rows: readonly (readonly string[])[], heading: (text: string) => string = (text) => text): string {
  const widths = columns.map((column, index) => Math.max(column.title.length, ...rows.map((row) => visibleLength(row[index] ?? ''))));
  const line = (cells: readonly string[]): string =>
    cells
      .map((cell, index) => {
        const space = ' '.repeat(Math.max(0, widths[index]! - visibleLength(cell)));
        return columns[index]!.align === 'right' ? space + cell : cell + space;
      })
      .join('  ')
      .trimEnd();
  return [heading(line(columns.map((column) => column.title))), ...rows.map(line)].join('\n');
}

/** Pairs of a name and a value, values aligned. */
export function formatPairs(pairs: readonly (readonly [name: string, value: string])[]): string {
  const width = Math.max(0, ...pairs.map(([name]) => visibleLength(name)));
  return pairs.map(([name, value]) => `${name}${' '.repeat(width - visibleLength(name))}  ${value}`.trimEnd()).join('\n');
}

/** Text broken at spaces so that no line is longer than `width`; words longer than that stay whole. */
export function wrapText(text: string, width: number, indent = ''): string {
  const lines: string[] = [];
  for (const paragraph of text.split('\n')) {
    let current = '';
    for (const word of paragraph.split(' ')) {
      if (current !== '' && indent.length + current.length + 1 + word.length > width) {
        lines.push(indent + current);
        current = word;
      } else {
        current = current === '' ? word : `${current} ${word}`;
      }
    }
    lines.push(indent + current);
  }
  return lines.join('\n');
}
