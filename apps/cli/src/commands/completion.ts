import { nearest, pareError } from '@pare/core';
import tab from '@bomb.sh/tab';
import type { Command, Option } from 'commander';
import { bundledPlugins, loadBundledPlugins } from '../bundled-plugins.js';
import type { CommandContext } from '../context.js';

const shells = ['bash', 'zsh', 'fish', 'powershell'];

/** `pare completion <shell>`: prints the script that makes a shell ask us at each Tab. */
export async function printCompletionScript(_context: CommandContext, shell: string): Promise<void> {
  if (!shells.includes(shell)) {
    const near = nearest(shell, shells);
    throw pareError('PARE_COMMAND_INVALID', {
      problem: `no completion script for "${shell}"`,
      help: `${near === undefined ? '' : `Did you mean "${near}"? `}There are scripts for ${shells.join(', ')}.`,
    });
  }
  tab.setup('pare', 'pare', shell);
  return Promise.resolve();
}

/** Names that an option's value may take, by long flag. */
async function optionValues(): Promise<Readonly<Record<string, readonly string[]>>> {
  const idsOf = (kind: string): string[] => bundledPlugins.filter((plugin) => plugin.kind === kind).flatMap((plugin) => plugin.ids);
  const presets = (await loadBundledPlugins(['preset'])).flatMap(({ plugin }) => (Array.isArray(plugin) ? plugin : [plugin]) as { id: string }[]).map(({ id }) => id);
  return {
    '--recipe': presets,
    '--backend': ['auto', ...idsOf('backend')],
    '--format': idsOf('format'),
    '--evaluator': idsOf('evaluator'),
    '--set': idsOf('technique').map((id) => `${id}.`),
    '--memory': ['2GiB', '4GiB', '8GiB', '16GiB'],
  };
}

/** Answers a completion script: the words typed so far in, suggestions out. */
export async function completeWords(program: Command, words: readonly string[]): Promise<void> {
  const values = await optionValues();
  const visit = (command: Command, path: string): void => {
    for (const child of command.createHelp().visibleCommands(command)) {
      const name = path === '' ? child.name() : `${path} ${child.name()}`;
      if (child.name() === 'help') continue;
      const target = tab.command(name, child.description());
      for (const option of child.options) addOption(target, option, values);
      for (const argument of child.registeredArguments) {
        target.argument(argument.name(), name === 'completion' ? (complete) => { for (const shell of shells) complete(shell, ''); } : undefined, argument.variadic);
      }
      visit(child, name);
    }
  };
  visit(program, '');
  tab.parse([...words]);
}

function addOption(target: ReturnType<typeof tab.command>, option: Option, values: Readonly<Record<string, readonly string[]>>): void {
  if (option.long === undefined || option.long === null) return;
  const alias = option.short?.slice(1);
  const known = values[option.long];
  const takesValue = option.required || option.optional;
  if (!takesValue) {
    target.option(option.long.slice(2), option.description, alias);
    return;
  }
  target.option(option.long.slice(2), option.description, (complete) => { for (const value of known ?? []) complete(value, ''); }, alias);
}
