// Builds the page as anybody would outside this repository: packs the Pare packages that it uses, installs the tarballs beside a copy of it, type-checks and
// bundles it with Vite, and brings `dist/` back. Needs a build of the packages ("npm run build"). Fails when the page is larger than it may be.
import { execFileSync } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';

/** JavaScript that the first visit loads, compressed: at most 1.5 MB. */
const allowedBytes = 1_500_000;

const example = dirname(fileURLToPath(import.meta.url));
const repository = resolve(example, '../..');
const readJson = (file) => JSON.parse(readFileSync(file, 'utf8'));
const say = (text) => process.stderr.write(`${text}\n`);

/** Folders of all workspace packages by name. */
const folders = new Map();
for (const group of ['packages', 'plugins']) {
  for (const entry of readdirSync(join(repository, group))) {
    const manifest = join(repository, group, entry, 'package.json');
    if (existsSync(manifest)) folders.set(readJson(manifest).name, dirname(manifest));
  }
}

/** A package and everything of this workspace that it depends on at run time. */
function collect(name, seen) {
  if (seen.has(name) || !folders.has(name)) return;
  seen.add(name);
  for (const dependency of Object.keys(readJson(join(folders.get(name), 'package.json')).dependencies ?? {})) collect(dependency, seen);
}

// npm's own script where npm started us, so that no shell is needed on any platform.
const npmScript = process.env.npm_execpath;
const npm = (args, cwd) =>
  npmScript?.endsWith('.js') === true
    ? execFileSync(process.execPath, [npmScript, ...args], { cwd, stdio: ['ignore', 2, 'inherit'] })
    : execFileSync('npm', args, { cwd, stdio: ['ignore', 2, 'inherit'], shell: process.platform === 'win32' });

const project = mkdtempSync(join(tmpdir(), 'pare-host-web-'));
try {
  const manifest = readJson(join(example, 'package.json'));
  const names = new Set();
  for (const name of Object.keys(manifest.dependencies)) collect(name, names);

  say('packing');
  const tarballs = join(project, 'tarballs');
  mkdirSync(tarballs);
  npm(['pack', '--silent', '--pack-destination', tarballs, ...[...names].flatMap((name) => ['-w', name])], repository);

  say('installing the tarballs');
  cpSync(example, project, { recursive: true, filter: (source) => !['node_modules', 'dist', 'test'].includes(source.slice(example.length + 1)) });
  const packed = Object.fromEntries([...names].map((name) => [name, `file:tarballs/${name.replace('@', '').replace('/', '-')}-${readJson(join(folders.get(name), 'package.json')).version}.tgz`]));
  writeFileSync(join(project, 'package.json'), JSON.stringify({ ...manifest, dependencies: { ...manifest.dependencies, ...packed } }));
  npm(['install', '--ignore-scripts', '--prefer-offline', '--no-audit', '--no-fund', '--silent'], project);

  say('type-checking and bundling');
  npm(['run', '--silent', 'build'], project);

  say('adding the small model and the texts');
  const dist = join(project, 'dist');
  cpSync(join(repository, 'examples/models/tales-7m'), join(dist, 'models/tales-7m'), { recursive: true });
  mkdirSync(join(dist, 'texts'));
  for (const [name, source] of [['calibration', 'tales-calibration'], ['evaluation', 'tales-evaluation']]) {
    const text = readFileSync(join(repository, `examples/data/${source}.txt`), 'utf8').slice(0, 300_000);
    writeFileSync(join(dist, `texts/${name}.txt`), text.slice(0, text.lastIndexOf('\n\n')));
  }
  rmSync(join(example, 'dist'), { recursive: true, force: true });
  cpSync(dist, join(example, 'dist'), { recursive: true });

  const scripts = readdirSync(join(dist, 'assets')).filter((file) => file.endsWith('.js'));
  const bytes = scripts.reduce((sum, file) => sum + gzipSync(readFileSync(join(dist, 'assets', file))).length, 0);
  say(`${String(scripts.length)} scripts, ${(bytes / 1000).toFixed(0)} kB compressed (allowed: ${String(allowedBytes / 1000)} kB)`);
  if (bytes > allowedBytes) {
    say('the page has become too large');
    process.exitCode = 1;
  }
} finally {
  rmSync(project, { recursive: true, force: true });
}
