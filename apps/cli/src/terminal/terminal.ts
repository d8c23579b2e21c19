import { createStyle, wantsColor, type Style } from './style.js';

/** A stream that a terminal writes to. `process.stdout` and `process.stderr` are such streams. */
export interface TextStream {
  readonly isTTY?: boolean | undefined;
  readonly columns?: number | undefined;
  readonly rows?: number | undefined;
  write(text: string): boolean;
}

export interface TerminalOptions {
  readonly color: boolean;
  readonly json: boolean;
  readonly quiet: boolean;
  readonly debug: boolean;
}

/** Where a command writes. Results go to standard output; progress, notes and errors go to standard error. */
export interface Terminal extends TerminalOptions {
  readonly stdout: TextStream;
  readonly stderr: TextStream;
  /** Style of standard output. */
  readonly style: Style;
  /** Style of standard error. */
  readonly noteStyle: Style;
  /** Columns to lay text out in. */
  readonly columns: number;
  /** A line of the result. Left out with `--json`. */
  print(text: string): void;
  /** The one JSON document of `--json`. */
  printJson(value: unknown): void;
  /** A line on standard error. Left out with `--quiet`. */
  note(text: string): void;
  /** A line on standard error that nobody may miss. */
  warn(text: string): void;
  /** Hands lines for standard error to a live display, which has to write them above itself; undefined gives them back. */
  interceptNotes(write: ((text: string) => void) | undefined): void;
}

/** A terminal over two streams. */
export function createTerminal(stdout: TextStream, stderr: TextStream, env: NodeJS.ProcessEnv, options: TerminalOptions): Terminal {
  const writeLine = (text: string): void => {
    stderr.write(`${text}\n`);
  };
  let write = writeLine;
  return {
    ...options,
    stdout,
    stderr,
    style: createStyle(wantsColor(stdout, env, options.color)),
    noteStyle: createStyle(wantsColor(stderr, env, options.color)),
    columns: Math.min(stdout.columns ?? 100, 120),
    print: (text) => {
      if (!options.json) stdout.write(`${text}\n`);
    },
    printJson: (value) => {
      stdout.write(`${JSON.stringify(value, undefined, 2)}\n`);
    },
    note: (text) => {
      if (!options.quiet) write(text);
    },
    warn: (text) => {
      write(text);
    },
    interceptNotes: (interceptor) => {
      write = interceptor ?? writeLine;
    },
  };
}
