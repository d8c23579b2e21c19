import { pareError } from '@pare/core';
import { mkdir, writeFile } from 'node:fs/promises';
import { existsSync } from 'node:fs';
import { join, relative, resolve } from 'node:path';
import type { CommandContext } from '../context.js';
import { openHost } from '../host.js';
import { optionsSchemaOf } from '../options/describe.js';
import { recipeYaml } from '../options/recipe-text.js';
import type { InitOptions } from '../program.js';
import { shellQuote } from '../values/shell.js';

const configText = `import type { PareConfig } from '@pare/core';

export default {
  // Plugins beside the ones that come with pare: imported values, or package names.
  // "pare plugins scan" lists installed packages that are plugins.
  plugins: [],
} satisfies PareConfig;
`;

/** `pare init`: writes a configuration and a recipe with every option spelled out. */
export async function init(context: CommandContext, folder: string, options: InitOptions): Promise<void> {
  const { terminal, cwd } = context;
  const directory = resolve(cwd, folder);
  const files = { 'pare.config.ts': configText, 'recipe.yaml': await recipeText(context, options.recipe) };
  const existing = Object.keys(files).filter((name) => existsSync(join(directory, name)));
  if (existing.length > 0) {
    throw pareError('PARE_COMMAND_INVALID', {
      problem: `${directory} has ${existing.join(' and ')} already`,
      help: 'Nothing was written. Remove the old file, or name another folder: pare init <folder>.',
    });
  }
  await mkdir(directory, { recursive: true });
  for (const [name, text] of Object.entries(files)) await writeFile(join(directory, name), text, { flag: 'wx' });
  const written = Object.keys(files).map((name) => join(directory, name));
  if (terminal.json) {
    terminal.printJson({ files: written });
    return;
  }
  const shown = (path: string): string => shellQuote(relative(cwd, path));
  terminal.print(`wrote ${written.map(shown).join(' and ')}\n\nNext: pare compress <model> --recipe ${shown(written[1]!)} --calibration <text file> --output ./small`);
}

async function recipeText(context: CommandContext, preset: string): Promise<string> {
  await using host = await openHost(context);
  const recipe = await host.resolveRecipe(preset);
  const schemas = new Map(host.plugins.filter(({ kind }) => kind === 'technique').map(({ id, plugin }) => [id, optionsSchemaOf(plugin)]));
  return `# pare compress <model> --recipe recipe.yaml --output <folder>\n${recipeYaml(recipe, (technique) => schemas.get(technique))}`;
}
