// Packages that create-pare-plugin writes, tried in a project that holds Pare's tarballs.
import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { standaloneFiles } from 'create-pare-plugin';

/** What packages with these tool chains use beside Pare, as their own manifests name it. */
export function authorTools(toolchains) {
  const names = {};
  for (const toolchain of toolchains) {
    const files = standaloneFiles({ kind: 'technique', id: 'x', packageName: 'x', toolchain, license: 'MIT', author: '', kernel: true, workflow: false });
    const { dependencies, devDependencies } = JSON.parse(files.get('package.json'));
    Object.assign(names, dependencies, devDependencies);
  }
  return Object.fromEntries(Object.entries(names).filter(([name]) => !name.startsWith('@pare/')));
}

/** Runs a command of the project's packages in a folder; throws with what it printed when it fails. */
export function runBin(project, name, args, cwd) {
  const require = createRequire(join(project, 'package.json'));
  const folder = join(project, 'node_modules', name);
  const { bin } = require(join(folder, 'package.json'));
  const script = join(folder, typeof bin === 'string' ? bin : (bin[name] ?? Object.values(bin)[0]));
  // esbuild's command is no script but a program of the platform.
  const isScript = !readFileSync(script).subarray(0, 4).equals(Buffer.from([0x7f, 0x45, 0x4c, 0x46]));
  try {
    return isScript ? execFileSync(process.execPath, [script, ...args], options(cwd)) : execFileSync(script, args, options(cwd));
  } catch (error) {
    throw new Error(`${name} ${args.join(' ')} in ${cwd} failed:\n${error.stdout}\n${error.stderr}`);
  }
}

const options = (cwd) => ({ cwd, encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'], env: { ...process.env, NO_COLOR: '1', CI: '1' }, maxBuffer: 1 << 26 });

/** Writes a package below the project with the installed create-pare-plugin, builds it, checks its types and runs its tests. Returns how many tests passed. */
export function tryPackage(project, folder, flags) {
  runBin(project, 'create-pare-plugin', [folder, ...flags, '--yes'], project);
  const path = join(project, folder);
  const { scripts, exports } = JSON.parse(readFileSync(join(path, 'package.json'), 'utf8'));
  for (const command of scripts.build.split(' && ')) {
    const [name, ...args] = command.split(' ');
    runBin(project, name === 'tsc' ? 'typescript' : name, args, path);
  }
  for (const file of Object.values(exports['.'])) if (!existsSync(join(path, file))) throw new Error(`${folder}: the build did not make ${file}`);
  runBin(project, 'typescript', scripts.typecheck.split(' ').slice(1), path);
  const report = JSON.parse(runBin(project, 'vitest', ['run', '--reporter=json'], path));
  if (!report.success || report.numPassedTests !== report.numTotalTests) throw new Error(`${folder}: ${String(report.numFailedTests)} of its tests fail`);
  return report.numPassedTests;
}
