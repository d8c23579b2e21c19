import { readdirSync, readFileSync } from 'node:fs';
import { join, relative, sep } from 'node:path';
import { fileURLToPath } from 'node:url';
import { literalOf, titleOf, typeOf, variableOf } from './names.mjs';
import { render } from './render.mjs';

/** @typedef {'technique' | 'evaluator' | 'backend' | 'format' | 'architecture'} PluginKind */

/** The kinds of plugins that there are templates for. @type {readonly PluginKind[]} */
export const pluginKinds = ['technique', 'evaluator', 'backend', 'format', 'architecture'];

/**
 * @typedef {object} PluginDescription
 * @property {PluginKind} kind
 * @property {string} id in kebab case
 * @property {string} packageName
 * @property {string} [title]
 * @property {string} [summary]
 * @property {'ts' | 'js'} language
 * @property {boolean} kernel
 */

/**
 * What the template of a kind imports, by package: Pare's at run time, Pare's in tests, and whether it uses zod.
 * @type {Readonly<Record<PluginKind, { readonly dependencies: readonly string[], readonly devDependencies: readonly string[], readonly zod: boolean }>>}
 */
export const imports = {
  technique: { dependencies: [], devDependencies: ['conformance', 'testkit'], zod: true },
  evaluator: { dependencies: [], devDependencies: ['conformance', 'testkit'], zod: true },
  backend: { dependencies: ['graph', 'operators'], devDependencies: ['conformance'], zod: false },
  format: { dependencies: [], devDependencies: ['conformance', 'testkit'], zod: true },
  architecture: { dependencies: [], devDependencies: ['conformance'], zod: false },
};

/** What the template of a kind does, in one sentence. @type {Readonly<Record<PluginKind, string>>} */
const summaries = {
  technique: 'sets the smallest weights of each matrix to zero.',
  evaluator: 'the share of weights that are zero.',
  backend: 'runs graphs operator by operator on host arrays.',
  format: 'every weight as raw float32 beside an index.',
  architecture: 'decoder with RMS norms, rotary positions and a gated MLP.',
};

/** The template's option as a README shows it; Pare's own repository writes the same from the schema. @type {Partial<Record<PluginKind, (id: string) => string>>} */
const optionRows = {
  technique: () => '| `sparsity` | number, 0 to 1 | `0.5` | Share of the weights of each matrix that become zero. |',
  evaluator: () => '| `threshold` | number, at least 0 | `0` | Weights up to this magnitude count as zero. |',
  format: (id) => `| \`folder\` | string | \`"${id}"\` | Folder inside the output that files are written to. |`,
};

const templates = fileURLToPath(new URL('../templates/', import.meta.url));

/** Everything that templates may use. @param {PluginDescription} plugin @returns {import('./render.mjs').Values & { readonly title: string, readonly summary: string }} */
export function valuesOf({ kind, id, packageName, title = titleOf(id), summary = `${title}: ${summaries[kind]}`, language, kernel }) {
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
    optionRow: optionRows[kind]?.(id) ?? '',
    options: optionRows[kind] !== undefined,
    ts: language === 'ts',
    js: language === 'js',
    kernel: kernel && kind === 'technique',
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
  return renderFolder(plugin.kind, valuesOf(plugin));
}
