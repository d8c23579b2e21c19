import { bundledPlugins, describeOptions, optionsSchemaOf } from '@pare/cli';
import type { Plugin } from '@pare/core';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { checkGenerated } from './generated.js';
import { readText, root, workspacePackages } from './workspace.js';

const opening = '<!-- options -->';
const closing = '<!-- /options -->';

/** A markdown table of a plugin's options; undefined when it has none. */
export function optionsTable(plugin: Plugin): string | undefined {
  const options = describeOptions(optionsSchemaOf(plugin) ?? {});
  if (options.length === 0) return undefined;
  const cell = (text: string): string => text.replaceAll('|', '\\|').replaceAll('\n', ' ');
  return [
    '| option | values | default | what it does |',
    '|---|---|---|---|',
    ...options.map((option) => `| \`${option.name}\` | ${cell(option.type)} | ${option.default === undefined ? 'required' : option.default === 'none' ? '' : `\`${cell(option.default)}\``} | ${cell(option.description)} |`),
  ].join('\n');
}

/** Option tables in plugins' READMEs and the reference of all options are what the schemas say. */
export async function checkOptionTables(write: boolean): Promise<string[]> {
  const problems: string[] = [];
  const sections: string[] = [];
  const packages = workspacePackages().filter(({ manifest }) => manifest.pare !== undefined);
  for (const { name, path } of packages) {
    const plugins = await pluginsOf(name);
    const tables = plugins.flatMap((plugin) => {
      const table = optionsTable(plugin);
      return table === undefined ? [] : [{ plugin, table }];
    });
    for (const { plugin, table } of tables) {
      // The reference is of the plugins that the command brings; others are documented by their READMEs.
      if (bundledPlugins.some((bundled) => bundled.package === name)) sections.push(`## ${plugin.id}\n\n${plugin.summary} Package [\`${name}\`](../${path}/README.md).\n\n${table}\n`);
      for (const option of describeOptions(optionsSchemaOf(plugin) ?? {})) {
        if (option.description === '') problems.push(`${name}: option ${plugin.id}.${option.name} has no description`);
      }
    }
    if (tables.length === 0) continue;
    const readme = `${path}/README.md`;
    const text = existsSync(join(root, readme)) ? readText(readme) : '';
    const content = tables.map(({ plugin, table }) => (tables.length === 1 ? table : `### ${plugin.id}\n\n${table}`)).join('\n\n');
    problems.push(...checkGenerated(readme, replaceBetween(text, content), write));
  }
  const document = `<!-- Generated from the plugins' schemas by "npm run generate". -->
# Options

Options of the plugins that come with the command. Set them in a recipe, or on the command line with \`--set id.option=value\`. \`pare plugins info <id>\` shows the
same for any plugin that is loaded, yours included.

${sections.join('\n')}`;
  problems.push(...checkGenerated('docs/options.md', document, write));
  return problems;
}

/** The plugins that a package of this repository exports. */
export async function pluginsOf(name: string): Promise<readonly Plugin[]> {
  const bundled = bundledPlugins.find((candidate) => candidate.package === name);
  const module = bundled === undefined ? ((await import(name)) as { default: Plugin | readonly Plugin[] }) : await bundled.load();
  return Array.isArray(module.default) ? (module.default as readonly Plugin[]) : [module.default as Plugin];
}

/** The text with new content between the markers; a section with markers is added when there are none. */
export function replaceBetween(text: string, content: string): string {
  const start = text.indexOf(opening);
  const end = text.indexOf(closing);
  if (start === -1 || end < start) return `${text.trimEnd()}\n\n## Options\n\n${opening}\n${content}\n${closing}\n`;
  return `${text.slice(0, start + opening.length)}\n${content}\n${text.slice(end)}`;
}
