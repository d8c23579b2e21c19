// Builds the page as anybody would outside this repository: packs the Pare packages that it uses, installs the tarballs beside a copy of it, type-checks and
// bundles it with Vite, and brings `dist/` back. Needs a build of the packages ("npm run build"). Fails when the page is larger than it may be.
import { cpSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';
import { npm, npmInstall, packPackages, readJson, repository } from '../tarballs.mjs';

/** JavaScript that the first visit loads, compressed: at most 1.5 MB. */
const allowedBytes = 1_500_000;

const example = dirname(fileURLToPath(import.meta.url));
const say = (text) => process.stderr.write(`${text}\n`);

const project = mkdtempSync(join(tmpdir(), 'pare-host-web-'));
try {
  const manifest = readJson(join(example, 'package.json'));

  say('packing');
  const packed = packPackages(Object.keys(manifest.dependencies), join(project, 'tarballs'));

  say('installing the tarballs');
  cpSync(example, project, { recursive: true, filter: (source) => !['node_modules', 'dist', 'test'].includes(source.slice(example.length + 1)) });
  writeFileSync(join(project, 'package.json'), JSON.stringify({ ...manifest, dependencies: { ...manifest.dependencies, ...packed } }));
  npmInstall(project);

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
