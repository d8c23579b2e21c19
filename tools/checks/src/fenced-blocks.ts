/** A fenced block of a markdown document. */
export interface FencedBlock {
  readonly document: string;
  /** Line of the document that the block's first line stands on. */
  readonly line: number;
  /** Line of the fence that closes it. */
  readonly end: number;
  /** `ts`, `sh`, …; empty for none. */
  readonly language: string;
  /** What follows the language: `continued`, `[name-of-a-file.mjs]`. */
  readonly info: string;
  readonly text: string;
}

/** The fenced blocks of a markdown text, in their order. */
export function fencedBlocks(document: string, markdown: string): FencedBlock[] {
  const blocks: FencedBlock[] = [];
  const lines = markdown.split('\n');
  let open: { readonly fence: string; readonly language: string; readonly info: string; readonly start: number } | undefined;
  for (const [index, line] of lines.entries()) {
    if (open === undefined) {
      const opening = /^\s*(`{3,})\s*([^\s`]*)\s*([^`]*)$/.exec(line);
      if (opening !== null) open = { fence: opening[1]!, language: opening[2]!, info: opening[3]!.trim(), start: index + 1 };
    } else if (line.trim() === open.fence) {
      blocks.push({ document, line: open.start + 1, end: index + 1, language: open.language, info: open.info, text: lines.slice(open.start, index).join('\n') });
      open = undefined;
    }
  }
  return blocks;
}

/** The file that a block is the content of: ```` ```js [pare.config.js] ````. */
export function fileOf({ info }: FencedBlock): string | undefined {
  return /^\[([^\]]+)\]/.exec(info)?.[1];
}

/** The text with every character of its fenced blocks replaced, so that what is searched for is prose and positions stay. */
export function withoutBlocks(markdown: string): string {
  const lines = markdown.split('\n');
  for (const { line, end } of fencedBlocks('', markdown)) lines.fill('', line - 2, end);
  return lines.join('\n');
}
