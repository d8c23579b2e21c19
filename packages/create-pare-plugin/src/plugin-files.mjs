import { readdirSync, readFileSync } from 'node:fs';
import { join, relative, sep } from 'node:path';
import { fileURLToPath } from 'node:url';
import { literalOf, titleOf, typeOf, variableOf } from './names.mjs';
import { render } from './render.mjs';

/** @typedef {'technique' | 'evaluator' | 'backend' | 'format' | 'architecture'} PluginKind */

/** The kinds of plugins that there are templates for. @type {readonly PluginKind[]} */
export const pluginKinds = ['technique', 'evaluator', 'backend', 'format', 'architecture'];

/** @typedef {'prune' | 'quantize'} TechniqueTemplate */

/** What a technique may begin with, and how that is explained; the first by default. @type {Readonly<Record<TechniqueTemplate, string>>} */
export const techniqueTemplates = {
  prune: 'one weight at a time, without data; dense results',
  quantize: 'a block at a time with statistics of its inputs; codes and scales',
};

/**
 * @typedef {object} PluginDescription
 * @property {PluginKind} kind
 * @property {TechniqueTemplate} [template] of a technique; `prune` by default
 * @property {string} id in kebab case
 * @property {string} packageName
 * @property {string} [title]
 * @property {string} [summary]
 * @property {'ts' | 'js'} language
 * @property {boolean} kernel
 */

/**
 * @typedef {object} Template what a template makes, beside its files
 * @property {readonly string[]} dependencies Pare's packages that it imports at run time, beside core
 * @property {readonly string[]} devDependencies Pare's packages that its tests import
 * @property {boolean} zod whether it uses zod
 * @property {string} summary what it does, in one sentence
 * @property {(id: string) => readonly string[]} [optionRows] its options as a README shows them; Pare's own repository writes the same from the schema
 */

/** @type {Readonly<Record<TechniqueTemplate | Exclude<PluginKind, 'technique'>, Template>>} */
const contents = {
  prune: {
    dependencies: [],
    devDependencies: ['conformance', 'testkit'],
    zod: true,
    summary: 'sets the smallest weights of each matrix to zero.',
    optionRows: () => ['| `sparsity` | number, 0 to 1 | `0.5` | Share of the weights of each matrix that become zero. |'],
  },
  quantize: {
    dependencies: ['model', 'weights'],
    devDependencies: ['conformance', 'testkit'],
    zod: true,
    summary: 'rounds weights to a grid, with the scales that change the outputs on calibration text least.',
    optionRows: () => [
      '| `bits` | integer, 2 to 8 | `4` | Bits of a code, 2 to 8. |',
      '| `groupSize` | integer, at least -1 | `64` | Inputs that share a grid; -1 for one grid an output. Must divide the input width. |',
      "| `scaleType` | \"auto\", \"float32\", \"float16\" or \"bfloat16\" | `\"auto\"` | Type that scales are stored in; auto takes the weight's own. |",
    ],
  },
  evaluator: {
    dependencies: [],
    devDependencies: ['conformance', 'testkit'],
    zod: true,
    summary: 'the share of weights that are zero.',
    optionRows: () => ['| `threshold` | number, at least 0 | `0` | Weights up to this magnitude count as zero. |'],
  },
  backend: { dependencies: ['graph', 'operators'], devDependencies: ['conformance'], zod: false, summary: 'runs graphs operator by operator on host arrays.' },
  format: {
    dependencies: [],
    devDependencies: ['conformance', 'testkit'],
    zod: true,
    summary: 'every weight as raw float32 beside an index.',
    optionRows: (id) => [`| \`folder\` | string | \`"${id}"\` | Folder inside the output that files are written to. |`],
  },
  architecture: { dependencies: [], devDependencies: ['conformance'], zod: false, summary: 'decoder with RMS norms, rotary positions and a gated MLP.' },
};

/** What a plugin is filled with. @param {Pick<PluginDescription, 'kind' | 'template'>} plugin */
export const templateOf = ({ kind, template = 'prune' }) => contents[kind === 'technique' ? template : kind];

const templates = fileURLToPath(new URL('../templates/', import.meta.url));

/** Everything that templates may use. @param {PluginDescription} plugin @returns {import('./render.mjs').Values & { readonly title: string, readonly summary: string }} */
export function valuesOf(plugin) {
  const { kind, template = 'prune', id, packageName, title = titleOf(id), summary = `${title}: ${templateOf(plugin).summary}`, language, kernel } = plugin;
  const optionRows = templateOf(plugin).optionRows?.(id) ?? [];
  return {
    kind,
    id,
    title,
    summary,
    package: packageName,
    variable: variableOf(id, kind),
    type: typeOf(id),
    titleLiteral: literalOf(title),
    summaryLiteral: literalOf(summary),
    optionRows: optionRows.join('\n'),
    options: optionRows.length > 0,
    ts: language === 'ts',
    js: language === 'js',
    kernel: kernel && kind === 'technique' && template === 'prune',
    prune: kind === 'technique' && template === 'prune',
    quantize: kind === 'technique' && template === 'quantize',
    ...Object.fromEntries(pluginKinds.map((name) => [name, name === kind])),
  };
}

/**
 * The files of a template folder, filled in. Folders named `kernels` are left out without `kernel`.
 * @param {string} folder below `templates`
 * @param {import('./render.mjs').Values} values
 * @returns {Map<string, string>} text by path relative to the package
 */
export function renderFolder(folder, values) {
  const root = join(templates, folder);
  const files = new Map();
  for (const entry of readdirSync(root, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile()) continue;
    const file = join(entry.parentPath, entry.name);
    const path = relative(root, file).split(sep).join('/').replace(/\.template$/, '');
    if (path.includes('kernels/') && values['kernel'] !== true) continue;
    files.set(values['js'] === true ? path.replace(/\.ts$/, '.js') : path, render(readFileSync(file, 'utf8'), values));
  }
  return files;
}

/** Source and tests of a plugin, the same wherever it lives. @param {PluginDescription} plugin */
export function pluginFiles(plugin) {
  return renderFolder(plugin.kind === 'technique' ? `technique/${plugin.template ?? 'prune'}` : plugin.kind, valuesOf(plugin));
}
