import type { Terminal } from './terminal/terminal.js';

/** What a command gets besides its arguments. */
export interface CommandContext {
  readonly terminal: Terminal;
  readonly cwd: string;
  readonly env: NodeJS.ProcessEnv;
  /** Configuration file that was named, instead of the folder's own. */
  readonly config: string | undefined;
  /** The arguments as typed, for telling how to go on after an interruption. */
  readonly argv: readonly string[];
  /** Fires at the first Ctrl-C. */
  readonly signal: AbortSignal;
  /** Sets the exit code of a command that did its work and found something that the user must mend. */
  readonly endWith: (code: 2) => void;
}
