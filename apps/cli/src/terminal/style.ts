/** Marks up text for a terminal; every function returns its argument unchanged when colours are off. */
export interface Style {
  readonly enabled: boolean;
  bold(text: string): string;
  dim(text: string): string;
  red(text: string): string;
  green(text: string): string;
  yellow(text: string): string;
  cyan(text: string): string;
}

const escape = '\u001b[';

/** A style that writes ANSI codes or nothing. */
export function createStyle(enabled: boolean): Style {
  const wrap = (open: number, close: number) => (text: string) => (enabled && text !== '' ? `${escape}${String(open)}m${text}${escape}${String(close)}m` : text);
  return { enabled, bold: wrap(1, 22), dim: wrap(2, 22), red: wrap(31, 39), green: wrap(32, 39), yellow: wrap(33, 39), cyan: wrap(36, 39) };
}

/** Whether to colour a stream: `--no-color` and NO_COLOR (no-color.org) win, then FORCE_COLOR, then whether it is a terminal that can. */
export function wantsColor(stream: { readonly isTTY?: boolean | undefined }, env: NodeJS.ProcessEnv, flag: boolean): boolean {
  if (!flag || (env['NO_COLOR'] ?? '') !== '') return false;
  const force = env['FORCE_COLOR'];
  if (force !== undefined) return force !== '0' && force !== 'false';
  return stream.isTTY === true && env['TERM'] !== 'dumb';
}

/** Length of a text on screen: ANSI codes take no room. */
export function visibleLength(text: string): number {
  return [...text.replace(/\u001b\[[0-9;]*m/g, '')].length;
}
