import { nearest, pareError, type Plugin, type PluginKind, type Recipe, type TechniqueScope } from '@pare/core';
import type { LoadedPlugin } from '@pare/runtime';
import { bundledPlugins } from '../bundled-plugins.js';
import type { CommandContext } from '../context.js';
import { openHost } from '../host.js';
import { describeOptions, optionsSchemaOf } from '../options/describe.js';
import { recipeYaml } from '../options/recipe-text.js';
import type { Style } from '../terminal/style.js';
import { formatPairs, formatTable, wrapText } from '../terminal/table.js';

/** Kinds in the order they are listed, with their plural headings. */
const headings: Readonly<Record<PluginKind, string>> = {
  technique: 'Techniques',
  preset: 'Presets',
  evaluator: 'Evaluators',
  format: 'Formats',
  backend: 'Backends',
  architecture: 'Architectures',
};
const kinds = Object.keys(headings) as PluginKind[];

/** `pare plugins`: everything that is loaded, by kind. */
export async function listPlugins(context: CommandContext): Promise<void> {
  const { terminal } = context;
  await using host = await openHost(context);
  const sorted = [...host.plugins].sort((a, b) => kinds.indexOf(a.kind) - kinds.indexOf(b.kind) || (a.id < b.id ? -1 : 1));
  if (terminal.json) {
    terminal.printJson(sorted.map(({ id, kind, package: name, version, api }) => ({ id, kind, package: name ?? null, version: version ?? null, api })));
    return;
  }
  const width = Math.max(0, ...sorted.map(({ id }) => id.length));
  const sections = kinds.flatMap((kind) => {
    const members = sorted.filter((plugin) => plugin.kind === kind);
    if (members.length === 0) return [];
    const rows = members.map(({ id, summary, package: name }) => {
      const origin = name === undefined || name.startsWith('@pare/') ? '' : ` (${name})`;
      return `  ${terminal.style.cyan(id.padEnd(width))}  ${hang(`${summary}${origin}`, terminal.columns, width + 4)}`;
    });
    return [[terminal.style.bold(headings[kind]), ...rows].join('\n')];
  });
  terminal.print(`${sections.join('\n\n')}\n\n${terminal.style.dim('pare plugins info <id> shows options and an example.')}`);
}

/** Wraps text whose first line begins at `indent`. */
function hang(text: string, columns: number, indent: number): string {
  return wrapText(text, columns, ' '.repeat(indent)).trimStart();
}

/** `pare plugins info <id>`: what a plugin does, its options, an example. */
export async function showPlugin(context: CommandContext, id: string): Promise<void> {
  const { terminal } = context;
  await using host = await openHost(context);
  const found = host.plugins.filter((plugin) => plugin.id === id);
  if (found.length === 0) throw unknownPlugin(id, host.plugins);
  if (terminal.json) {
    const documents = found.map(({ id: name, kind, title, summary, package: origin, version, api, plugin }) => ({
      id: name,
      kind,
      title,
      summary,
      package: origin ?? null,
      version: version ?? null,
      api,
      options: optionsSchemaOf(plugin) ?? null,
    }));
    terminal.printJson(documents.length === 1 ? documents[0] : documents);
    return;
  }
  terminal.print(found.map((plugin) => pluginText(plugin, host.plugins, terminal.style, terminal.columns)).join('\n\n'));
}

function unknownPlugin(id: string, plugins: readonly LoadedPlugin[]): Error {
  const ids = plugins.map((plugin) => plugin.id);
  return pareError('PARE_PLUGIN_UNKNOWN', { kind: 'plugin', id, known: ids, nearest: nearest(id, ids) });
}

/** Everything about a plugin, for people. */
export function pluginText({ id, kind, title, summary, package: origin, version, plugin }: LoadedPlugin, all: readonly LoadedPlugin[], style: Style, columns: number): string {
  const facts: [string, string][] = [['kind', kind]];
  if (origin !== undefined) facts.push(['package', `${origin}${version === undefined ? '' : ` ${version}`}`]);
  facts.push(...kindFacts(plugin));
  const parts = [`${style.bold(title)} (${id})\n${wrapText(summary, columns)}`, formatPairs(facts)];
  const options = describeOptions(optionsSchemaOf(plugin) ?? {});
  if (options.length > 0) {
    const heading = kind === 'technique' || kind === 'evaluator' ? `Options, as --set ${id}.<option>=<value> or in a recipe` : 'Options';
    const width = Math.max(...options.map(({ name }) => name.length));
    const rows = options.map(
      (option) =>
        `  ${style.cyan(option.name.padEnd(width))}  ${option.type}; ${option.default === undefined ? 'required' : `default ${option.default}`}\n${style.dim(wrapText(option.description, columns, ' '.repeat(width + 4)))}`,
    );
    parts.push([style.bold(heading), ...rows].join('\n'));
  }
  const example = exampleOf(plugin, (technique) => all.some((other) => other.id === technique && other.plugin.$$type === '@pare/technique' && other.plugin.scope !== 'tensor'));
  if (example !== undefined) parts.push(`${style.bold('Example')}\n${example.trimEnd().replace(/^(?=.)/gm, '  ')}`);
  return parts.join('\n\n');
}

const worksOn: Readonly<Record<TechniqueScope, string>> = {
  tensor: 'one weight at a time, without data',
  block: 'one layer at a time, with calibration data',
  model: 'the whole model, of which it takes parts out',
  training: 'the whole model, learning from calibration data',
};

function kindFacts(plugin: Plugin): [string, string][] {
  switch (plugin.$$type) {
    case '@pare/technique':
      return [
        ['family', plugin.family],
        ['works on', worksOn[plugin.scope]],
        ['gets', plugin.accepts.join(', ')],
        ['produces', plugin.produces.join(', ')],
        ...(plugin.paper === undefined ? [] : ([['paper', plugin.paper]] as [string, string][])),
      ];
    case '@pare/evaluator':
      return [
        ['reads', plugin.data === 'text' ? 'the model and a text (--data)' : 'the model'],
        ...plugin.metrics.map((metric): [string, string] => ['measures', `${metric.name}${metric.unit === '' ? '' : ` (${metric.unit})`}${metric.direction === 'neutral' ? '' : `, ${metric.direction} is better`}`]),
      ];
    case '@pare/format':
      return [['writes', plugin.accepts.join(', ')]];
    case '@pare/architecture':
      return [['model types', plugin.modelTypes.join(', ')]];
    default:
      return [];
  }
}

/** @param calibrated whether a technique needs calibration data */
function exampleOf(plugin: Plugin, calibrated: (technique: string) => boolean): string | undefined {
  switch (plugin.$$type) {
    case '@pare/technique': {
      const schema = optionsSchemaOf(plugin) ?? {};
      const defaults = Object.fromEntries(
        Object.entries((schema['properties'] ?? {}) as Record<string, Record<string, unknown>>).flatMap(([name, property]) => ('default' in property ? [[name, property['default']]] : [])),
      );
      const recipe: Recipe = { version: 1, stages: [{ technique: plugin.id, options: defaults }] };
      return recipeYaml(recipe, () => undefined);
    }
    case '@pare/preset':
      return `pare compress ./model --recipe ${plugin.id}${plugin.recipe.stages.some(({ technique }) => calibrated(technique)) ? ' --calibration text.txt' : ''} --output ./small\n\n${recipeYaml(plugin.recipe, () => undefined)}`;
    case '@pare/evaluator':
      return `pare evaluate ./model --evaluator ${plugin.id}${plugin.data === 'text' ? ' --data text.txt' : ''}`;
    case '@pare/format':
      return `pare compress ./model --recipe rtn-w8 --format ${plugin.id} --output ./small`;
    case '@pare/backend':
      return `pare compress ./model --recipe rtn-w8 --backend ${plugin.id} --output ./small`;
    default:
      return undefined;
  }
}

/** `pare plugins scan`: the package here and dependencies of it that say they are plugins, without those that come with the command. */
export async function scanPlugins({ terminal, cwd }: CommandContext): Promise<void> {
  const { scanPlugins: scan } = await import('@pare/plugin-store');
  const found = await scan(cwd, bundledPlugins.map(({ package: name }) => name));
  if (terminal.json) {
    terminal.printJson(found);
    return;
  }
  if (found.length === 0) {
    terminal.print('Neither the package in this folder nor one of its dependencies, beside those that come with pare, has a "pare" field with its kind in package.json.');
    return;
  }
  terminal.print(formatTable([{ title: 'package' }, { title: 'version' }, { title: 'kind' }, { title: 'api' }], found.map((plugin) => [plugin.package, plugin.version, plugin.kind, String(plugin.api)]), terminal.style.dim));
  terminal.print(`\nIn the plugins list of pare.config.ts:\n${found.map((plugin) => `  ${plugin.configLine}`).join('\n')}`);
}
