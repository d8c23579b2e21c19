import { pluginsOf, readText, sectionOf, workspacePackages } from '@pare/checks';
import { describeOptions, optionsSchemaOf, recipeYaml } from '@pare/cli';
import type { Plugin, Preset, Technique } from '@pare/core';
import { titleOf, type Page } from './page.js';
import { routeOf } from './routes.js';

/** A plugin package of this repository with what it exports. */
export interface PluginPackage {
  readonly kind: string;
  readonly name: string;
  /** `plugins/technique-gptq/README.md` */
  readonly document: string;
  readonly route: string;
  readonly readme: string;
  readonly plugins: readonly Plugin[];
}

/** All plugin packages, imported. */
export async function pluginPackages(): Promise<PluginPackage[]> {
  return Promise.all(
    workspacePackages()
      .filter(({ manifest }) => manifest.pare !== undefined)
      .map(async ({ name, path, manifest }) => {
        const document = `${path}/README.md`;
        return { kind: manifest.pare!.kind!, name, document, route: routeOf(document)!, readme: readText(document), plugins: await pluginsOf(name) };
      }),
  );
}

const isPreset = (plugin: Plugin): plugin is Preset => plugin.$$type === '@pare/preset';
const isTechnique = (plugin: Plugin): plugin is Technique => plugin.$$type === '@pare/technique';

/** A page for each package: what its plugins say of themselves, the README, and what else is known here. */
export function pluginPages(packages: readonly PluginPackage[]): Page[] {
  const presets = packages.flatMap(({ plugins, route }) => plugins.filter(isPreset).map((preset) => ({ preset, route })));
  return packages.map(({ name, document, route, readme, plugins }) => {
    const [plugin] = plugins;
    const facts = plugins.length === 1 ? factsOf(plugin!, name) : [['package', `\`${name}\``] as const, ['plugins', plugins.map(({ id }) => `\`${id}\``).join(', ')] as const];
    const heading = plugins.length === 1 ? plugin!.title : titleOf(readme);
    const body = readme.replace(/^# .*\n/, '').trim();
    const behind = plugins.length === 1 && isTechnique(plugin!) ? techniqueAppendix(plugin, presets) : plugins.filter(isPreset).map(presetSection).join('\n');
    return { route, source: document, markdown: [`# ${heading}`, plugins.length === 1 ? plugin!.summary : '', factTable(facts), body, behind].filter((part) => part !== '').join('\n\n') };
  });
}

function factTable(facts: readonly (readonly [string, string])[]): string {
  return ['<div class="facts">', '', '| | |', '|---|---|', ...facts.map(([name, value]) => `| ${name} | ${value} |`), '', '</div>'].join('\n');
}

const worksOn = {
  tensor: 'one weight at a time, without data',
  block: 'one block at a time, with calibration text',
  training: 'the whole model, learning from the calibration text',
  model: 'the whole model, of which it takes parts out',
} as const;

function factsOf(plugin: Plugin, name: string): (readonly [string, string])[] {
  const facts: (readonly [string, string])[] = [
    ['id', `\`${plugin.id}\``],
    ['package', `\`${name}\``],
  ];
  switch (plugin.$$type) {
    case '@pare/technique':
      facts.push(['family', plugin.family], ['works on', worksOn[plugin.scope]], ['gets', plugin.accepts.join(', ')], ['produces', plugin.produces.join(', ') || 'removals of parts']);
      if (plugin.paper !== undefined) facts.push(['paper', paperLink(plugin.paper)]);
      break;
    case '@pare/evaluator':
      facts.push(
        ['reads', { none: 'the model', text: 'the model and a text (`--data`)', items: 'the model and questions (`--items`)' }[plugin.data as string] ?? plugin.data],
        ['metrics', plugin.metrics.map(({ name: metric, unit, direction }) => `\`${metric}\`${unit === '' ? '' : ` (${unit})`}${direction === 'neutral' ? '' : `, ${direction} is better`}`).join('; ')],
      );
      break;
    case '@pare/format':
      facts.push(['writes', plugin.accepts.join(', ')]);
      break;
    case '@pare/architecture':
      facts.push(['model types', plugin.modelTypes.map((type) => `\`${type}\``).join(', ')]);
      break;
    default:
  }
  return facts;
}

function paperLink(paper: string): string {
  const id = /^arXiv:(.+)$/.exec(paper)?.[1];
  return id === undefined ? paper : `[${paper}](https://arxiv.org/abs/${id})`;
}

/** The whole recipe with every option, and the presets that contain the technique. */
function techniqueAppendix(technique: Technique, presets: readonly { readonly preset: Preset; readonly route: string }[]): string {
  const schema = optionsSchemaOf(technique) ?? {};
  const defaults = Object.fromEntries(describeOptions(schema).flatMap(({ name, default: value }) => (value === undefined || value === 'none' ? [] : [[name, JSON.parse(value) as unknown]])));
  const recipe = recipeYaml({ version: 1, stages: [{ technique: technique.id, options: defaults }] }, () => undefined);
  const using = presets.filter(({ preset }) => preset.recipe.stages.some((stage) => stage.technique === technique.id));
  return [
    `## With every option written out\n\n\`\`\`yaml\n${recipe}\`\`\``,
    ...(using.length === 0
      ? []
      : [`## Presets that use it\n\n| preset | what it does |\n|---|---|\n${using.map(({ preset, route: to }) => `| [\`${preset.id}\`](/${to}#${preset.id}) | ${preset.summary} |`).join('\n')}`]),
  ].join('\n\n');
}

function presetSection(preset: Preset): string {
  return `## ${preset.id}\n\n${preset.summary}\n\n\`\`\`yaml\n${recipeYaml(preset.recipe, () => undefined)}\`\`\`\n`;
}

const kindTexts: Readonly<Record<string, readonly [title: string, text: string]>> = {
  technique: ['Techniques', 'Methods that make a model smaller. Each page has facts and options from the plugin itself, and when to use it, why it works, where it ends and what it is from.'],
  evaluator: ['Evaluators', 'What can be measured of a model: quality, size, speed.'],
  format: ['Formats', 'What a compressed model can be written as, and who reads it.'],
  backend: ['Backends', 'Where graphs run while a model is calibrated and measured.'],
  architecture: ['Architectures', 'Families of models, described as data from their configuration.'],
};

/** A list of all plugins of each kind that has several packages. */
export function kindPages(packages: readonly PluginPackage[]): Page[] {
  return Object.entries(kindTexts).map(([kind, [title, text]]) => {
    const members = packages.filter((member) => member.kind === kind);
    const route = `${kind}s/index`;
    const rows = members.map(({ route: to, plugins, readme, name }) => {
      const [plugin] = plugins;
      const what = plugins.length === 1 ? plugin!.summary : plugins.map(({ title: one }) => one).join(', ');
      const more = kind === 'technique' ? ` | ${(plugin as Technique).family} | ${firstSentence(sectionOf(readme, 'When to use it') ?? '')}` : '';
      return `| [${plugins.length === 1 ? plugin!.title : name}](/${to}) | ${what.replaceAll('|', '\\|')}${more} |`;
    });
    const head = kind === 'technique' ? '| technique | what it does | family | when |\n|---|---|---|---|' : `| ${kind} | what it does |\n|---|---|`;
    return { route, source: '', markdown: `# ${title}\n\n${text}\n\n${head}\n${rows.join('\n')}\n` };
  });
}

/** The first sentence of a text, on one line. */
export function firstSentence(text: string): string {
  return (/^.+?[.:](?=\s|$)/s.exec(text)?.[0] ?? text).replaceAll('\n', ' ').replace(/:$/, '.').replaceAll('|', '\\|');
}
