import { isPareError } from '@pare/core';
import { CommanderError } from 'commander';
import { commandError, isInformation } from './command-errors.js';
import { createProgram } from './program.js';
import { prepare } from './run.js';

/** Ends a run at the moment where the command line is understood and nothing has happened. */
class Understood extends Error {}

/**
 * What is wrong with a command line, without running it: unknown commands and options, values out of range, arguments that are missing. Documents are checked with it.
 * @param argv the words after `pare`
 * @returns undefined when the command takes it
 */
export async function commandProblem(argv: readonly string[]): Promise<string | undefined> {
  const program = createProgram('0', () => {
    throw new Understood();
  });
  const silent = { write: () => true };
  prepare(program, silent, silent);
  try {
    await program.parseAsync([...argv], { from: 'user' });
    return undefined;
  } catch (thrown) {
    if (thrown instanceof Understood) return undefined;
    if (thrown instanceof CommanderError) return isInformation(thrown) ? undefined : commandError(thrown, program, argv).message;
    if (isPareError(thrown)) return thrown.message;
    throw thrown;
  }
}
