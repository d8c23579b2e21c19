import { isPareError, type PareError } from '@pare/core';
import type { Terminal } from './terminal.js';
import { wrapText } from './table.js';

/** 0 done, 1 a defect, 2 the user can fix it, 130 interrupted (128 + SIGINT, as shells expect). */
export type ExitCode = 0 | 1 | 2 | 130 | 143;

/** Errors of the system that a user can mend, with what to do about each. */
const systemHelp: Readonly<Record<string, string>> = {
  ENOSPC: 'Free some disk space or write to another disk.',
  EDQUOT: 'The disk quota is used up; free some space or write to another disk.',
  EACCES: 'Check the permissions of the file and of its folder.',
  EPERM: 'Check the permissions of the file and of its folder.',
  EROFS: 'The file system is read-only; write somewhere else.',
  EMFILE: 'Too many files are open; raise the limit (ulimit -n).',
};

/** The error's code, message and help, and the exit code that it ends with. */
export interface ErrorReport {
  readonly code: string;
  readonly message: string;
  readonly help: string;
  readonly place: readonly string[];
  readonly exitCode: ExitCode;
}

/** What to tell about anything thrown. */
export function describeError(error: unknown): ErrorReport {
  if (isPareError(error)) {
    return { code: error.code, message: error.message, help: error.help, place: placeOf(error), exitCode: 2 };
  }
  const system = systemCode(error);
  if (system !== undefined) {
    return { code: system, message: (error as Error).message, help: systemHelp[system]!, place: [], exitCode: 2 };
  }
  const message = error instanceof Error ? `${error.name}: ${error.message}` : String(error);
  return { code: 'PARE_DEFECT', message, help: 'This is a defect in Pare or in a plugin. Run again with --debug for the stack, and report it.', place: [], exitCode: 1 };
}

/** Writes an error to standard error: code and message, where it arose, the fix. The stack only with `--debug`. With `--json` the document on standard output holds it too. */
export function printError(error: unknown, terminal: Terminal): ExitCode {
  const report = describeError(error);
  const { noteStyle: style } = terminal;
  terminal.stderr.write(`${style.red(style.bold(report.code))} ${report.message}\n`);
  if (report.place.length > 0) terminal.stderr.write(`${style.dim(`  in ${report.place.join(', ')}`)}\n`);
  for (const line of report.help.split('\n')) {
    // A command must stay on one line to be pasted.
    if (line !== '') terminal.stderr.write(`${line.startsWith('pare ') ? `  ${line}` : wrapText(line, terminal.columns, '  ')}\n`);
  }
  if (terminal.debug) terminal.stderr.write(`${style.dim(stackOf(error))}\n`);
  if (terminal.json) {
    terminal.printJson({ error: { code: report.code, message: report.message, help: report.help, ...(report.place.length > 0 && { place: report.place }) } });
  }
  return report.exitCode;
}

function placeOf(error: PareError): string[] {
  const { plugin, stage, module } = error.place;
  // The host names plugin and stage in full: `technique "gptq"`, `stage 1 (gptq)`.
  return [plugin, stage, module === undefined ? undefined : `module ${module}`].filter((part) => part !== undefined);
}

function systemCode(error: unknown): string | undefined {
  if (!(error instanceof Error) || !('code' in error) || typeof error.code !== 'string') return undefined;
  return Object.hasOwn(systemHelp, error.code) ? error.code : undefined;
}

/** The stack, with those of its causes. */
function stackOf(error: unknown): string {
  const parts: string[] = [];
  for (let current = error; current !== undefined && parts.length < 8; current = current instanceof Error ? current.cause : undefined) {
    const text = current instanceof Error ? (current.stack ?? String(current)) : String(current);
    parts.push(parts.length === 0 ? text : `caused by ${text}`);
  }
  return parts.join('\n');
}
