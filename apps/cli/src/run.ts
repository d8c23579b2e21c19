import { isPareError } from '@pare/core';
import { CommanderError, type Command } from 'commander';
import { commandError, isInformation } from './command-errors.js';
import { watchInterrupts } from './interrupt.js';
import { createProgram } from './program.js';
import { printError, type ExitCode } from './terminal/print-error.js';
import { createTerminal, type Terminal, type TerminalOptions, type TextStream } from './terminal/terminal.js';

/** What a run of the command reads and writes. */
export interface CommandEnvironment {
  readonly stdout: TextStream;
  readonly stderr: TextStream;
  readonly env: NodeJS.ProcessEnv;
  readonly cwd: string;
  readonly version: string;
}

/**
 * Runs one command line.
 * @param argv the words after `pare`
 * @returns the exit code: 0 done, 2 something the user can fix, 1 a defect, 130 interrupted
 */
export async function runCommandLine(argv: readonly string[], environment: CommandEnvironment): Promise<ExitCode> {
  const { stdout, stderr, env, cwd } = environment;
  const terminalFor = (options: TerminalOptions): Terminal => createTerminal(stdout, stderr, env, options);
  // Errors in the arguments themselves are printed before commander has read them all.
  let terminal = terminalFor({ json: argv.includes('--json'), quiet: false, debug: argv.includes('--debug'), color: !argv.includes('--no-color') });
  using interruption = watchInterrupts(() => terminal);

  let result: ExitCode = 0;
  const endWith = (code: ExitCode): void => {
    result = code;
  };
  const program = createProgram(environment.version, (options) => {
    terminal = terminalFor(options);
    return { terminal, cwd, env, config: options.config, argv, signal: interruption.signal, endWith };
  });
  prepare(program, stdout, stderr);

  try {
    if (argv.length === 0) {
      program.outputHelp();
      return 0;
    }
    await program.parseAsync([...argv], { from: 'user' });
    return result;
  } catch (thrown) {
    if (thrown instanceof CommanderError) {
      return isInformation(thrown) ? 0 : printError(commandError(thrown, program, argv), terminal);
    }
    const exitCode = printError(thrown, terminal);
    return isPareError(thrown) && thrown.code === 'PARE_ABORTED' && interruption.exitCode !== undefined ? interruption.exitCode : exitCode;
  }
}

/** Makes commander throw instead of leaving, and write to our streams. Its own error texts are replaced by the catalogue's. */
export function prepare(command: Command, stdout: TextStream, stderr: TextStream): void {
  command.exitOverride().showSuggestionAfterError(false);
  command.configureOutput({
    writeOut: (text) => stdout.write(text),
    writeErr: (text) => stderr.write(text),
    outputError: () => undefined,
  });
  for (const child of command.commands) prepare(child, stdout, stderr);
}
