import { withoutBlocks } from './fenced-blocks.js';

/** A heading of a document with the anchor that forges and the site give it. */
export interface Heading {
  readonly level: number;
  readonly text: string;
  readonly anchor: string;
}

/** The headings of a markdown text; equal ones are told apart by a number, as renderers do. */
export function headingsOf(markdown: string): Heading[] {
  const seen = new Map<string, number>();
  return withoutBlocks(markdown)
    .split('\n')
    .flatMap((line) => {
      const match = /^(#{1,6})\s+(.+?)\s*$/.exec(line);
      if (match === null) return [];
      const base = slug(match[2]!);
      const times = seen.get(base) ?? 0;
      seen.set(base, times + 1);
      return [{ level: match[1]!.length, text: match[2]!, anchor: times === 0 ? base : `${base}-${String(times)}` }];
    });
}

/** The anchor of a heading: lower case, punctuation left out, blanks as hyphens. */
export function slug(heading: string): string {
  return heading
    .replaceAll(/\[([^\]]*)\]\([^)]*\)/g, '$1')
    .toLowerCase()
    .replaceAll(/[^\p{L}\p{N}\s_-]/gu, '')
    .trim()
    .replaceAll(/\s/g, '-');
}

/** The text between a heading of the second level and the next one, undefined where there is no such heading. */
export function sectionOf(markdown: string, title: string): string | undefined {
  const lines = markdown.split('\n');
  const start = lines.indexOf(`## ${title}`);
  if (start === -1) return undefined;
  const end = lines.findIndex((line, index) => index > start && /^##? /.test(line));
  return lines.slice(start + 1, end === -1 ? undefined : end).join('\n').trim();
}
