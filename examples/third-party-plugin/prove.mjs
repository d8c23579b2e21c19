// Proves that a plugin needs nothing but published packages: packs the Pare packages and this one, installs the tarballs in a folder outside the repository, and uses the plugin there; and
// that what create-pare-plugin writes there builds and passes its tests. Needs a build ("npm run build"). Prints one JSON document; what goes on is told on standard error.
import { execFileSync } from 'node:child_process';
import { cpSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { authorTools, tryPackage } from '../../tools/authors/generated.mjs';
import { installProject, npm, packPackages, readJson, repository, tarballName } from '../tarballs.mjs';

const example = dirname(fileURLToPath(import.meta.url));
const require = createRequire(join(repository, 'package.json'));
const say = (text) => process.stderr.write(`${text}\n`);

const folder = mkdtempSync(join(tmpdir(), 'pare-third-party-'));
try {
  const tarballs = join(folder, 'tarballs');
  say('packing');
  const packed = packPackages(['@pare/cli', '@pare/testkit', '@pare/conformance', 'create-pare-plugin'], tarballs);

  say('bundling the plugin');
  const plugin = join(folder, 'plugin');
  cpSync(example, plugin, { recursive: true, filter: (source) => !['node_modules', 'dist'].includes(basename(source)) });
  const { build } = require('esbuild');
  await build({ entryPoints: [join(plugin, 'src/index.ts')], bundle: true, format: 'esm', platform: 'neutral', external: ['@pare/core'], outfile: join(plugin, 'dist/index.js'), logLevel: 'error' });
  npm(['pack', '--silent', '--pack-destination', tarballs], plugin);

  say('installing the tarballs');
  const project = join(folder, 'project');
  const manifest = readJson(join(plugin, 'package.json'));
  installProject(project, { ...packed, [manifest.name]: `file:${join(tarballs, tarballName(manifest))}`, ...(await authorTools(['tsc'])) });

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
  say('writing, building and testing a new package');
  const generatedTests = tryPackage(project, 'generated', ['--id', 'sample', '--toolchain', 'tsc']);
  process.stdout.write(`${JSON.stringify({ generatedTests, listed, scanned, info, stages: compressed.stages, metrics: compressed.metrics, forms: Object.fromEntries(inspected.modules.map((module) => [module.name, module.form])) }, undefined, 2)}\n`);
} finally {
  rmSync(folder, { recursive: true, force: true });
}
