import { installPackagesTask, readJson, updateJson } from '@nx/devkit';
import { idPattern, pluginFiles, renderFolder, templateOf, valuesOf } from 'create-pare-plugin';
import { posix } from 'node:path';

/**
 * @typedef {object} PluginPackageOptions
 * @property {string} name id in kebab case
 * @property {'prune' | 'quantize'} [template] what a technique begins with
 * @property {string} [title]
 * @property {string} [summary]
 * @property {boolean} [skipInstall]
 */

/** @typedef {'technique' | 'evaluator' | 'backend' | 'format' | 'architecture'} PluginKind */

/**
 * Creates `plugins/<kind>-<name>`: manifest with tags and "pare" field, compiler and test configuration, source, a test, README. Source and test are those of create-pare-plugin.
 * @param {import('@nx/devkit').Tree} tree
 * @param {PluginKind} kind
 * @param {PluginPackageOptions} options
 * @returns {() => void} installs packages, which links the new one
 */
export function createPluginPackage(tree, kind, options) {
  const { name, skipInstall = false } = options;
  if (!idPattern.test(name)) throw new Error(`"${name}" is no id: use lower-case words joined by dashes, such as my-method`);
  const path = `plugins/${kind}-${name}`;
  if (tree.exists(path)) throw new Error(`${path} exists already`);

  const { title, summary, template } = options;
  const plugin = { kind, id: name, packageName: `@pare/${kind}-${name}`, language: /** @type {const} */ ('ts'), kernel: false, ...(template !== undefined && { template }), ...(title !== undefined && { title }), ...(summary !== undefined && { summary }) };
  const { dependencies, devDependencies, zod } = templateOf(plugin);
  const core = readJson(tree, 'packages/core/package.json');
  const versions = (/** @type {readonly string[]} */ names) => Object.fromEntries(names.map((dependency) => [`@pare/${dependency}`, core.version]));
  const references = ['core', ...dependencies, ...devDependencies].map((dependency) => ({ path: `${posix.relative(path, `packages/${dependency}`)}/tsconfig.lib.json` }));
  const values = valuesOf(plugin);

  for (const [file, text] of [...renderFolder('workspace', values), ...pluginFiles(plugin)]) tree.write(`${path}/${file}`, text);
  tree.write(
    `${path}/package.json`,
    `${JSON.stringify(
      {
        name: plugin.packageName,
        version: core.version,
        description: values.summary,
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

/** The range of zod that other packages ask for. @param {import('@nx/devkit').Tree} tree */
function zodVersion(tree) {
  return readJson(tree, 'packages/runtime/package.json').dependencies.zod;
}
