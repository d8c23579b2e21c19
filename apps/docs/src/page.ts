/** A page of the site. */
export interface Page {
  /** Its address without extension: `techniques/gptq`, `index`. */
  readonly route: string;
  /** The document of the repository that it shows, relative to the root; links to that document lead to the page. */
  readonly source: string;
  readonly markdown: string;
}

/** The first heading of a markdown text. */
export function titleOf(markdown: string): string {
  return /^# (.+)$/m.exec(markdown)?.[1] ?? /^title: (.+)$/m.exec(markdown)?.[1] ?? '';
}
