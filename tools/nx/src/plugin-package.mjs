import { generateFiles, installPackagesTask, readJson, updateJson } from '@nx/devkit';
import { posix } from 'node:path';
import { fileURLToPath } from 'node:url';

/**
 * @typedef {object} PluginPackageOptions
 * @property {string} name id in kebab case
 * @property {string} [title]
 * @property {string} [summary]
 * @property {boolean} [skipInstall]
 */

/** @typedef {'technique' | 'evaluator' | 'backend' | 'format' | 'architecture'} PluginKind */

/** Packages of this workspace that the template of a kind imports, besides core. @type {Record<PluginKind, { dependencies: string[], devDependencies: string[], zod: boolean }>} */
const imports = {
  technique: { dependencies: [], devDependencies: ['backend-reference', 'conformance', 'testkit'], zod: true },
  evaluator: { dependencies: [], devDependencies: ['testkit'], zod: true },
  backend: { dependencies: ['graph', 'operators'], devDependencies: ['conformance'], zod: false },
  format: { dependencies: [], devDependencies: ['testkit'], zod: true },
  architecture: { dependencies: [], devDependencies: [], zod: false },
};

/** Folders of first-party packages, for project references. @type {Record<string, string>} */
const folders = { core: 'packages/core', graph: 'packages/graph', operators: 'packages/operators', weights: 'packages/weights', conformance: 'packages/conformance', testkit: 'packages/testkit', 'backend-reference': 'plugins/backend-reference' };

/**
 * The template's option as the README shows it; `npm run generate` writes the same from the schema.
 * @type {Partial<Record<PluginKind, (name: string) => string>>}
 */
const optionRows = {
  technique: () => '| `sparsity` | number, 0 to 1 | `0.5` | Share of the weights of each matrix that become zero. |',
  evaluator: () => '| `threshold` | number, at least 0 | `0` | Weights up to this magnitude count as zero. |',
  format: (name) => `| \`folder\` | string | \`"${name}"\` | Folder inside the output that files are written to. |`,
};

const templates = fileURLToPath(new URL('../templates/', import.meta.url));

/**
 * Creates `plugins/<kind>-<name>`: manifest with tags and "pare" field, compiler and test configuration, source, a test, README.
 * @param {import('@nx/devkit').Tree} tree
 * @param {PluginKind} kind
 * @param {PluginPackageOptions} options
 * @returns {() => void} installs packages, which links the new one
 */
export function createPluginPackage(tree, kind, options) {
  const { name, skipInstall = false } = options;
  if (!/^[a-z][a-z0-9]*(-[a-z0-9]+)*$/.test(name)) throw new Error(`"${name}" is no id: use lower-case words joined by dashes, such as my-method`);
  const path = `plugins/${kind}-${name}`;
  if (tree.exists(path)) throw new Error(`${path} exists already`);

  const words = name.split('-');
  const title = options.title ?? capitalise(words.join(' '));
  const { dependencies, devDependencies, zod } = imports[kind];
  const core = readJson(tree, 'packages/core/package.json');
  const versions = (/** @type {string[]} */ names) => Object.fromEntries(names.map((dependency) => [`@pare/${dependency}`, core.version]));
  const references = ['core', ...dependencies, ...devDependencies].map((dependency) => ({ path: `${posix.relative(path, folders[dependency] ?? '')}/tsconfig.lib.json` }));
  const substitutions = {
    kind,
    name,
    title,
    summary: options.summary ?? defaultSummary(kind, title),
    variable: words.map((word, index) => (index === 0 ? word : capitalise(word))).join(''),
    type: words.map(capitalise).join(''),
    optionRow: optionRows[kind]?.(name),
  };

  generateFiles(tree, `${templates}common`, path, substitutions);
  generateFiles(tree, `${templates}${kind}`, path, substitutions);
  tree.write(
    `${path}/package.json`,
    `${JSON.stringify(
      {
        name: `@pare/${kind}-${name}`,
        version: core.version,
        description: substitutions.summary,
        license: 'Apache-2.0',
        type: 'module',
        engines: core.engines,
        exports: { '.': { '@pare/source': './src/index.ts', types: './dist/index.d.ts', default: './dist/index.js' }, './package.json': './package.json' },
        files: core.files,
        keywords: ['pare-plugin'],
        pare: { kind, api: 1 },
        publishConfig: { access: 'public', provenance: true },
        dependencies: { ...versions(['core', ...dependencies].sort()), ...(zod && { zod: zodVersion(tree) }) },
        ...(devDependencies.length > 0 && { devDependencies: versions(devDependencies) }),
        nx: { tags: ['layer:plugin', kind === 'backend' || kind === 'format' ? 'runtime:node' : 'runtime:any', `kind:${kind}`] },
      },
      undefined,
      2,
    )}\n`,
  );
  updateJson(tree, `${path}/tsconfig.lib.json`, (config) => ({ ...config, references }));
  updateJson(tree, 'tsconfig.json', (config) => ({ ...config, references: [...config.references, { path: `./${path}` }] }));
  return () => {
    if (!skipInstall) installPackagesTask(tree, true);
  };
}

/** @param {string} word */
function capitalise(word) {
  return word.charAt(0).toUpperCase() + word.slice(1);
}

/** @param {PluginKind} kind @param {string} title */
function defaultSummary(kind, title) {
  switch (kind) {
    case 'technique':
      return `${title}: sets the smallest weights of each matrix to zero.`;
    case 'evaluator':
      return `${title}: the share of weights that are zero.`;
    case 'backend':
      return `${title}: runs graphs operator by operator on host arrays.`;
    case 'format':
      return `${title}: every weight as raw float32 beside an index.`;
    case 'architecture':
      return `${title}: decoder with RMS norms, rotary positions and a gated MLP.`;
  }
}

/** The range of zod that other packages ask for. @param {import('@nx/devkit').Tree} tree */
function zodVersion(tree) {
  return readJson(tree, 'packages/runtime/package.json').dependencies.zod;
}
