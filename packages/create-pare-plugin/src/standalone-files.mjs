import { readFileSync } from 'node:fs';
import { licenses, licenseText } from './licenses.mjs';
import { pluginFiles, renderFolder, templateOf, valuesOf } from './plugin-files.mjs';

/** @typedef {'tsc' | 'esbuild' | 'tsup' | 'js'} Toolchain */

/** What a package is built with, and how that is explained. @type {Readonly<Record<Toolchain, string>>} */
export const toolchains = {
  tsc: 'TypeScript, compiled by tsc',
  esbuild: 'TypeScript, bundled by esbuild, declarations by tsc',
  tsup: 'TypeScript, bundled by tsup, declarations by tsc',
  js: 'plain JavaScript with JSDoc types, checked by tsc',
};

/**
 * @typedef {object} StandaloneSettings
 * @property {import('./plugin-files.mjs').PluginKind} kind
 * @property {import('./plugin-files.mjs').TechniqueTemplate} [template] of a technique; `prune` by default
 * @property {string} id
 * @property {string} packageName
 * @property {string} [title]
 * @property {string} [summary]
 * @property {Toolchain} toolchain
 * @property {import('./licenses.mjs').License} license
 * @property {string} author
 * @property {boolean} kernel
 * @property {boolean} workflow whether to add GitHub workflows for tests and releases
 */

/** Ranges of what generated packages use beside Pare. */
const versions = { esbuild: '^0.28.2', tsup: '^9.0.0', typescript: '~6.0.3', vitest: '^4.1.0', zod: '^4.6.7', '@types/node': '^20.19.0' };

/** @type {Readonly<Record<Toolchain, string>>} */
const builds = {
  tsc: 'tsc -p tsconfig.build.json',
  esbuild: 'esbuild src/index.ts --bundle --format=esm --platform=neutral --packages=external --target=es2022 --outfile=dist/index.js && tsc -p tsconfig.build.json --emitDeclarationOnly',
  tsup: 'tsup src/index.ts --format esm --target es2022 --clean && tsc -p tsconfig.build.json --emitDeclarationOnly',
  js: 'tsc -p tsconfig.build.json',
};

/** The version of Pare that packages are made for: this package's own. */
export const pareVersion = /** @type {{ version: string }} */ (JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8'))).version;

/**
 * A package that stands alone: source, tests, manifest, compiler settings, README, licence, workflows.
 * @param {StandaloneSettings} settings
 * @returns {Map<string, string>} text by path
 */
export function standaloneFiles({ kind, template, id, packageName, title, summary, toolchain, license, author, kernel, workflow }) {
  const language = toolchain === 'js' ? 'js' : 'ts';
  const plugin = { kind, id, packageName, language: /** @type {'js' | 'ts'} */ (language), kernel, ...(template !== undefined && { template }), ...(title !== undefined && { title }), ...(summary !== undefined && { summary }) };
  const values = { ...valuesOf(plugin), extension: language, license, author, range: `^${pareVersion}` };
  const files = new Map([...renderFolder('standalone', values), ...pluginFiles(plugin)]);
  files.set('package.json', `${JSON.stringify(manifest({ ...plugin, summary: values.summary, toolchain, license, author, kernel: kernel && kind === 'technique' && template !== 'quantize' }), undefined, 2)}\n`);
  // npm leaves a file of this name out of packages under its own name.
  files.set('.gitignore', 'node_modules/\ndist/\n');
  if (license !== licenses.none) files.set('LICENSE', licenseText(license, author));
  if (!workflow) for (const path of files.keys()) if (path.startsWith('.github/')) files.delete(path);
  return new Map([...files].sort(([a], [b]) => (a < b ? -1 : 1)));
}

/** @param {Pick<StandaloneSettings, 'kind' | 'template' | 'packageName' | 'toolchain' | 'license' | 'author' | 'kernel'> & { summary: string }} settings */
function manifest({ kind, template, packageName, summary, toolchain, license, author, kernel }) {
  const range = `^${pareVersion}`;
  const { dependencies, devDependencies, zod } = templateOf({ kind, ...(template !== undefined && { template }) });
  const pare = (/** @type {readonly string[]} */ names) => Object.fromEntries(names.map((name) => [`@pare/${name}`, range]));
  const tools = /** @type {const} */ (['@types/node', ...(toolchain === 'esbuild' || toolchain === 'tsup' ? [toolchain] : []), 'typescript', 'vitest']);
  const shipped = [...dependencies, ...(kernel ? ['executor'] : [])];
  return {
    name: packageName,
    version: '0.1.0',
    description: summary,
    license,
    ...(author !== '' && { author }),
    type: 'module',
    engines: { node: '>=20.19' },
    exports: { '.': { types: './dist/index.d.ts', default: toolchain === 'js' ? './src/index.js' : './dist/index.js' }, './package.json': './package.json' },
    files: toolchain === 'js' ? ['dist', 'src', '!src/**/*.test.js'] : ['dist'],
    keywords: ['pare-plugin'],
    pare: { kind, api: 1 },
    scripts: { build: builds[toolchain], typecheck: 'tsc -p tsconfig.json', test: 'vitest run', prepack: 'npm run build' },
    // One copy of the contracts for host and plugins: core is the host's. Libraries are the plugin's own: what they hand to the host is plain data.
    peerDependencies: pare(['core']),
    ...(shipped.length + Number(zod) > 0 && { dependencies: { ...pare(shipped), ...(zod && { zod: versions.zod }) } }),
    devDependencies: sorted({ ...pare(['core', ...devDependencies]), ...Object.fromEntries(tools.map((tool) => [tool, versions[/** @type {keyof typeof versions} */ (tool)]])) }),
    publishConfig: { access: 'public', provenance: true },
  };
}

/** @template T @param {Readonly<Record<string, T>>} entries */
function sorted(entries) {
  return Object.fromEntries(Object.entries(entries).sort(([a], [b]) => (a < b ? -1 : 1)));
}
