// Proves that a plugin needs nothing but published packages: packs the Pare packages and this one, installs the tarballs in a folder outside the
// repository, and uses the plugin there. Needs a build ("npm run build"). Prints one JSON document; what goes on is told on standard error.
import { execFileSync } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { basename, dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

const example = dirname(fileURLToPath(import.meta.url));
const repository = resolve(example, '../..');
const require = createRequire(join(repository, 'package.json'));
const readJson = (file) => JSON.parse(readFileSync(file, 'utf8'));
const say = (text) => process.stderr.write(`${text}\n`);

/** Folders of all workspace packages by name. */
function workspacePackages() {
  const found = new Map();
  for (const group of ['packages', 'plugins', 'apps']) {
    for (const entry of readdirSync(join(repository, group))) {
      const manifest = join(repository, group, entry, 'package.json');
      if (existsSync(manifest)) found.set(readJson(manifest).name, dirname(manifest));
    }
  }
  return found;
}

/** A package and everything of this workspace that it depends on at run time. */
function withDependencies(name, folders, seen = new Set()) {
  if (seen.has(name) || !folders.has(name)) return seen;
  seen.add(name);
  for (const dependency of Object.keys(readJson(join(folders.get(name), 'package.json')).dependencies ?? {})) withDependencies(dependency, folders, seen);
  return seen;
}

// npm's own script where npm started us, so that no shell is needed on any platform.
const npmScript = process.env.npm_execpath;
const npm = (args, cwd) =>
  npmScript !== undefined && npmScript.endsWith('.js')
    ? execFileSync(process.execPath, [npmScript, ...args], { cwd, encoding: 'utf8', stdio: ['ignore', 'pipe', 'inherit'] })
    : execFileSync('npm', args, { cwd, encoding: 'utf8', stdio: ['ignore', 'pipe', 'inherit'], shell: process.platform === 'win32' });

const folder = mkdtempSync(join(tmpdir(), 'pare-third-party-'));
try {
  const tarballs = join(folder, 'tarballs');
  mkdirSync(tarballs);

  say('packing');
  const names = [...withDependencies('@pare/cli', workspacePackages())];
  npm(['pack', '--silent', '--pack-destination', tarballs, ...names.flatMap((name) => ['-w', name])], repository);

  say('bundling the plugin');
  const plugin = join(folder, 'plugin');
  cpSync(example, plugin, { recursive: true, filter: (source) => !['node_modules', 'dist'].includes(basename(source)) });
  const { build } = require('esbuild');
  await build({ entryPoints: [join(plugin, 'src/index.ts')], bundle: true, format: 'esm', platform: 'neutral', external: ['@pare/core'], outfile: join(plugin, 'dist/index.js'), logLevel: 'error' });
  npm(['pack', '--silent', '--pack-destination', tarballs], plugin);

  say('installing the tarballs');
  const project = join(folder, 'project');
  mkdirSync(project);
  const dependencies = Object.fromEntries(
    readdirSync(tarballs).map((file) => {
      const path = join(tarballs, file);
      const manifest = JSON.parse(execFileSync('tar', ['-xzOf', path, 'package/package.json'], { encoding: 'utf8' }));
      return [manifest.name, `file:${path}`];
    }),
  );
  writeFileSync(join(project, 'package.json'), JSON.stringify({ name: 'project', version: '1.0.0', private: true, type: 'module', dependencies }));
  // The install scripts of dependencies fetch optional GPU libraries; nothing here uses them.
  npm(['install', '--ignore-scripts', '--prefer-offline', '--no-audit', '--no-fund', '--silent'], project);

  say('type-checking the plugin against the installed packages');
  cpSync(join(plugin, 'src'), join(project, 'src'), { recursive: true });
  for (const file of ['pare.config.ts', 'recipe.yaml']) cpSync(join(plugin, file), join(project, file));
  writeFileSync(
    join(project, 'tsconfig.json'),
    JSON.stringify({ compilerOptions: { target: 'es2022', module: 'nodenext', lib: ['es2023', 'esnext.disposable', 'dom'], types: [], strict: true, noEmit: true, skipLibCheck: false }, include: ['src', 'pare.config.ts'] }),
  );
  execFileSync(process.execPath, [require.resolve('typescript/bin/tsc'), '-p', project], { stdio: ['ignore', 'inherit', 'inherit'] });

  say('using it');
  const pare = (...args) => execFileSync(process.execPath, [join(project, 'node_modules/@pare/cli/bin/pare.js'), ...args], { cwd: project, encoding: 'utf8', stdio: ['ignore', 'pipe', 'inherit'] });
  const listed = JSON.parse(pare('plugins', '--json')).find(({ id }) => id === 'ternary');
  const scanned = JSON.parse(pare('plugins', 'scan', '--json')).find((found) => found.package === 'pare-technique-ternary');
  const info = pare('plugins', 'info', 'ternary');
  const model = join(repository, 'packages/testkit/fixtures/architectures/llama');
  const compressed = JSON.parse(pare('compress', model, '--recipe', 'recipe.yaml', '--output', 'out', '--json', '--quiet'));
  const inspected = JSON.parse(pare('inspect', 'out', '--json'));
  process.stdout.write(`${JSON.stringify({ listed, scanned, info, stages: compressed.stages, metrics: compressed.metrics, forms: Object.fromEntries(inspected.modules.map((module) => [module.name, module.form])) }, undefined, 2)}\n`);
} finally {
  rmSync(folder, { recursive: true, force: true });
}
