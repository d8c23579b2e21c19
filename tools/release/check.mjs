// npm run release:check: what would be published, tried as its users would. Packs every package, has the types of each tarball looked at (are the types wrong?), installs all of
// them with npm in an empty project, imports every entry point there, and holds sizes to tools/release/budgets.json. `--write-budgets` sets budgets anew, a fifth above the sizes found.
// Needs a build and, for what the packages depend on, npm's cache or a registry.
import * as attw from '@arethetypeswrong/core';
import { execFile } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { installProject } from '../../examples/tarballs.mjs';
import { root, run } from '../steps.mjs';
import { pack, publishedPackages } from './published.mjs';

const budgetFile = join(root, 'tools/release/budgets.json');
const start = performance.now();
const say = (text) => console.log(`${((performance.now() - start) / 1000).toFixed(0).padStart(4)} s  ${text}`);
const problems = [];
/** For packages that are not named in the file: new ones. */
const defaultBudget = { packed: 60, unpacked: 250 };
const kilobytes = (bytes) => Math.ceil(bytes / 1000);

await run(process.execPath, [join(root, 'tools/release/prepare.mjs')]);
const packages = publishedPackages();
const folder = mkdtempSync(join(tmpdir(), 'pare-release-'));
try {
  const tarballs = join(folder, 'tarballs');
  mkdirSync(tarballs);
  const packed = new Map(pack(packages.map(({ name }) => name), tarballs).map((entry) => [entry.name, entry]));
  say(`${packed.size} packages packed`);

  const budgets = process.argv.includes('--write-budgets') ? { default: defaultBudget } : JSON.parse(readFileSync(budgetFile, 'utf8'));
  const rows = [];
  for (const { name, path, manifest } of packages) {
    const entry = packed.get(name);
    const files = new Set(entry.files.map((file) => file.path));
    const fail = (problem) => problems.push(`${name}: ${problem}`);

    for (const file of ['package.json', 'README.md', 'LICENSE', ...targetsOf(manifest)]) if (!files.has(file)) fail(`the tarball lacks ${file}`);
    for (const file of files) {
      if (/\.(test\.|tsbuildinfo)/.test(file)) fail(`the tarball has ${file}`);
      // What lies in dist and has no source any more was left by an earlier build.
      const source = /^dist\/(.+)\.js$/.exec(file)?.[1];
      if (source !== undefined && !['.ts', '.mts', '.mjs', '.js'].some((extension) => existsSync(join(root, path, 'src', source + extension)))) fail(`${file} has no source: remove dist and build again`);
    }

    const sizes = { packed: kilobytes(entry.size), unpacked: kilobytes(entry.unpackedSize) };
    if (process.argv.includes('--write-budgets')) budgets[name] = { packed: Math.ceil(sizes.packed * 1.2) + 1, unpacked: Math.ceil(sizes.unpacked * 1.2) + 2 };
    const budget = budgets[name] ?? budgets.default;
    for (const kind of ['packed', 'unpacked']) if (sizes[kind] > budget[kind]) fail(`is ${sizes[kind]} kB ${kind}, its budget is ${budget[kind]} kB`);

    const types = await typeProblems(join(tarballs, entry.filename), manifest);
    for (const problem of types) fail(problem);
    rows.push({ name, files: files.size, ...sizes, budget, types: types.length === 0 ? 'right' : `${types.length} wrong` });
  }
  say('types looked at');

  const project = join(folder, 'project');
  installProject(project, Object.fromEntries(packages.map(({ name }) => [name, `file:${join(tarballs, packed.get(name).filename)}`])));
  say('installed in an empty project');

  const entries = packages.flatMap(({ name, manifest }) => Object.entries(manifest.exports).flatMap(([subpath, target]) => (typeof target === 'string' ? [] : [`${name}${subpath.slice(1)}`])));
  for (const problem of await importAll(entries, project)) problems.push(problem);
  for (const { name, manifest } of packages) {
    for (const program of Object.keys(manifest.bin ?? {})) {
      const file = join(project, 'node_modules/.bin', program);
      if (!existsSync(file)) problems.push(`${name}: npm installed no program "${program}"`);
    }
  }
  say(`${entries.length} entry points imported`);

  if (process.argv.includes('--write-budgets')) writeFileSync(budgetFile, `{\n${Object.entries(budgets).map(([name, budget]) => `  "${name}": { "packed": ${budget.packed}, "unpacked": ${budget.unpacked} }`).join(',\n')}\n}\n`);
  printTable(rows);
  if (packages.some(({ manifest }) => manifest.repository === undefined)) console.log('\nManifests name no repository: npm publishes with provenance only behind "node tools/release/prepare.mjs <address>".');
} finally {
  rmSync(folder, { recursive: true, force: true });
}
for (const problem of problems) console.log(`  ${problem}`);
console.log(problems.length === 0 ? '\nEverything can be published.' : `\n${problems.length} problems.`);
process.exitCode = problems.length === 0 ? 0 : 1;

/** Files that exports, imports and programs of a manifest name. The condition @pare/source is for this repository. */
function targetsOf(manifest) {
  const files = (value) => (typeof value === 'string' ? [value] : Object.entries(value).flatMap(([condition, target]) => (condition === '@pare/source' ? [] : files(target))));
  return [...files(manifest.exports ?? {}), ...files(manifest.imports ?? {}), ...Object.values(manifest.bin ?? {})].map((file) => file.replace(/^\.\//, '')).filter((file) => !file.startsWith('#'));
}

/** What attw finds in a tarball. The packages are ES modules for resolvers that know exports: how CommonJS and Node 10 see them is left out, as in attw's profile esm-only. */
async function typeProblems(tarball, manifest) {
  const result = await attw.checkPackage(attw.createPackageFromTarballData(readFileSync(tarball)));
  if (result.types === false) return ['has no types'];
  const wanted = new Set(['node16-esm', 'bundler']);
  const found = result.problems.filter((problem) => !('resolutionKind' in problem) || wanted.has(problem.resolutionKind));
  const entries = Object.keys(manifest.exports).filter((subpath) => typeof manifest.exports[subpath] !== 'string');
  const untyped = entries.filter((subpath) => !['node16-esm', 'bundler'].every((kind) => result.entrypoints[subpath]?.resolutions[kind]?.resolution?.isTypeScript));
  return [...found.map((problem) => `types: ${problem.kind} ${problem.entrypoint ?? problem.typesFileName ?? problem.fileName ?? ''} ${problem.moduleSpecifier ?? ''}`.trim()), ...untyped.map((subpath) => `types: ${subpath} resolves to no declarations`)];
}

/** Imports entry points one after another in a process of their own, as a program would. What they print, they may not. */
async function importAll(entries, project) {
  const script = `const failed = [];
for (const entry of ${JSON.stringify(entries)}) {
  try {
    if (Object.keys(await import(entry)).length === 0) failed.push(entry + ': exports nothing');
  } catch (error) {
    // Suites of tests register themselves with the runner, and say so when there is none.
    if (!/vitest/i.test(String(error))) failed.push(entry + ': ' + error);
  }
}
process.stdout.write(JSON.stringify(failed));
process.exit(0);`;
  writeFileSync(join(project, 'import-all.mjs'), script);
  const { stdout, stderr } = await promisify(execFile)(process.execPath, ['import-all.mjs'], { cwd: project, maxBuffer: 1 << 24 });
  return [...JSON.parse(stdout), ...(stderr.trim() === '' ? [] : [`importing prints: ${stderr.trim()}`])];
}

function printTable(rows) {
  const cells = rows.map(({ name, files, packed, unpacked, budget, types }) => [name, String(files), `${packed} / ${budget.packed}`, `${unpacked} / ${budget.unpacked}`, types]);
  const total = (key) => rows.reduce((sum, row) => sum + row[key], 0);
  cells.push(['all', String(total('files')), String(total('packed')), String(total('unpacked')), '']);
  const head = ['package', 'files', 'packed kB / budget', 'unpacked kB / budget', 'types'];
  const widths = head.map((title, column) => Math.max(title.length, ...cells.map((row) => row[column].length)));
  const line = (row) => row.map((cell, column) => (column === 0 || column === 4 ? cell.padEnd(widths[column]) : cell.padStart(widths[column]))).join('  ').trimEnd();
  console.log(`\n${line(head)}\n${cells.map(line).join('\n')}`);
}
