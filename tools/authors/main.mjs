// npm run test:authors: what plugin authors get, tried from packed tarballs in a folder outside the repository. Every kind, and every template of techniques, with every tool chain is written, built, type-checked and tested;
// three versions of TypeScript compile the published types and the written sources. Needs a build, and a registry for the tool chains. Takes minutes; --kind and --toolchain, as often as wanted,
// take less.
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { pluginKinds, toolchains as allToolchains } from 'create-pare-plugin';
import { installProject, packPackages, readJson } from '../../examples/tarballs.mjs';
import { authorTools, runBin, tryPackage } from './generated.mjs';

const { values: chosen } = parseArgs({ options: { kind: { type: 'string', multiple: true }, toolchain: { type: 'string', multiple: true } } });
const kinds = chosen.kind ?? pluginKinds;
const toolchains = chosen.toolchain ?? Object.keys(allToolchains);
const compilers = { 'typescript-5.9': 'npm:typescript@~5.9.0', 'typescript-6': 'npm:typescript@~6.0.0', 'typescript-7': 'npm:typescript@^7.0.0' };
const failures = [];

function attempt(what, action) {
  const started = performance.now();
  try {
    const result = action();
    console.log(`passed  ${what}${result === undefined ? '' : `: ${result}`} (${((performance.now() - started) / 1000).toFixed(0)} s)`);
  } catch (error) {
    failures.push(what);
    console.log(`FAILED  ${what}\n${error.message}`);
  }
}

const folder = mkdtempSync(join(tmpdir(), 'pare-authors-'));
try {
  const tarballs = join(folder, 'tarballs');
  console.log('packing');
  const pare = packPackages(['@pare/cli', '@pare/testkit', '@pare/conformance', 'create-pare-plugin'], tarballs);
  console.log('installing the tarballs and the tool chains');
  const project = join(folder, 'project');
  installProject(project, { ...pare, ...authorTools(toolchains), ...compilers });

  for (const toolchain of toolchains) {
    for (const kind of kinds) attempt(`${kind} with ${toolchain}`, () => `${String(tryPackage(project, `${toolchain}-${kind}`, ['--kind', kind, '--id', 'sample', '--toolchain', toolchain]))} tests`);
    if (!kinds.includes('technique')) continue;
    attempt(`technique with kernels and ${toolchain}`, () => `${String(tryPackage(project, `${toolchain}-kernel`, ['--id', 'sample', '--kernel', '--toolchain', toolchain]))} tests`);
    attempt(`quantizer with ${toolchain}`, () => `${String(tryPackage(project, `${toolchain}-quantizer`, ['--id', 'sample', '--template', 'quantize', '--toolchain', toolchain]))} tests`);
  }

  // Every declaration of every package, as a user's compiler reads them.
  const names = Object.keys(pare).filter((name) => name !== '@pare/cli');
  const types = join(project, 'types');
  mkdirSync(types);
  writeFileSync(join(types, 'index.ts'), names.map((name, index) => `export * as p${String(index)} from '${name}';\n`).join(''));
  const options = { target: 'es2022', module: 'nodenext', lib: ['es2023', 'esnext.disposable', 'dom'], types: ['node'], strict: true, exactOptionalPropertyTypes: true, noEmit: true };
  writeFileSync(join(types, 'tsconfig.json'), JSON.stringify({ compilerOptions: options, include: ['.'] }));
  for (const compiler of Object.keys(compilers)) {
    const { version } = readJson(join(project, 'node_modules', compiler, 'package.json'));
    attempt(`published types of ${String(names.length)} packages with TypeScript ${version}`, () => {
      const ours = complaints(() => runBin(project, compiler, ['-p', types], types)).filter((line) => line.includes('node_modules/@pare/') || line.startsWith('index.ts'));
      if (ours.length > 0) throw new Error(ours.join('\n'));
    });
    for (const toolchain of toolchains.filter((name) => name === 'tsc' || name === 'js')) for (const kind of [...kinds, ...(kinds.includes('technique') ? ['quantizer'] : [])]) attempt(`sources of ${kind} (${toolchain}) with TypeScript ${version}`, () => void runBin(project, compiler, ['-p', '.'], join(project, `${toolchain}-${kind}`)));
  }
} finally {
  rmSync(folder, { recursive: true, force: true });
}
console.log(failures.length === 0 ? 'all passed' : `${String(failures.length)} failed: ${failures.join('; ')}`);
process.exitCode = failures.length === 0 ? 0 : 1;

/** What a compiler says, line by line. Declarations of other people's packages may have faults of their own. */
function complaints(compile) {
  try {
    compile();
    return [];
  } catch (error) {
    return error.message.split('\n');
  }
}
