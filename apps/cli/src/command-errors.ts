import { nearest, pareError, type PareError } from '@pare/core';
import type { Command, CommanderError } from 'commander';

/** Codes of commander that mean help or version were printed as asked. */
const contentCodes = new Set(['commander.helpDisplayed', 'commander.help', 'commander.version']);

/** True when commander ended because it printed what was asked for. */
export function isInformation(error: CommanderError): boolean {
  return contentCodes.has(error.code) && error.exitCode === 0;
}

/** Commander's complaint as an error of the catalogue, with the nearest thing that exists. */
export function commandError(error: CommanderError, program: Command, argv: readonly string[]): PareError {
  const command = commandOf(program, argv);
  const name = fullName(command);
  const problem = error.message.replace(/^error: /, '').split('\n')[0]!;
  const word = /'([^']*)'/.exec(problem)?.[1] ?? '';
  const helpHint = `"${name} --help" shows what there is.`;
  switch (error.code) {
    case 'commander.unknownCommand': {
      const names = command.commands.filter((child) => !isHidden(child)).map((child) => child.name());
      return commandInvalid(`${name} has no command "${word}"`, suggest(nearest(word, names), `Commands: ${names.join(', ')}.`));
    }
    case 'commander.unknownOption': {
      const flag = word.split('=')[0]!;
      const flags = command.options.flatMap((option) => option.long ?? []).concat('--help');
      return commandInvalid(`${name} has no option ${flag}`, suggest(nearest(flag, flags), helpHint));
    }
    case 'commander.excessArguments':
      return commandInvalid(`${name} got more arguments than it takes: ${command.args.join(' ')}`, `Usage: ${name} ${command.usage()}. Quote arguments with spaces.`);
    case 'commander.missingArgument':
      return commandInvalid(`${name} needs <${word}>`, `Usage: ${name} ${command.usage()}. ${helpHint}`);
    case 'commander.optionMissingArgument':
      return commandInvalid(`${word} needs a value`, helpHint);
    case 'commander.help':
      return commandInvalid(`${name} needs a command`, helpHint);
    default:
      return commandInvalid(problem, helpHint);
  }
}

function commandInvalid(problem: string, help: string): PareError {
  return pareError('PARE_COMMAND_INVALID', { problem, help });
}

function suggest(near: string | undefined, otherwise: string): string {
  return near === undefined ? otherwise : `Did you mean "${near}"? ${otherwise}`;
}

/** The command that the words name, as deep as they go. */
function commandOf(program: Command, argv: readonly string[]): Command {
  let command = program;
  for (const word of argv) {
    if (word.startsWith('-')) continue;
    const child = command.commands.find((candidate) => candidate.name() === word);
    if (child === undefined) break;
    command = child;
  }
  return command;
}

function fullName(command: Command): string {
  return command.parent === null ? command.name() : `${fullName(command.parent)} ${command.name()}`;
}

function isHidden(command: Command): boolean {
  return command.parent !== null && !command.parent.createHelp().visibleCommands(command.parent).includes(command);
}
