import { existsSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { examinePlugins } from './doctor.js';
import { probe } from './probe.js';
import type { ProbeResult } from './probe-protocol.js';
import { presetText, writeFiles, writePackage } from './testing.js';

let cwd: string;

beforeAll(async () => {
  cwd = await mkdtemp(join(tmpdir(), 'pare-probe-'));
});

afterAll(async () => {
  await rm(cwd, { recursive: true, force: true });
});

async function probed(name: string, code: string): Promise<ProbeResult> {
  await writePackage(join(cwd, 'node_modules', name), { name, code });
  return probe({ kind: 'package', reference: { package: name, from: cwd }, seconds: 1 });
}

describe('a plugin in a process of its own', () => {
  it('that is well is told with what it holds', async () => {
    expect(await probed('pare-well', `export default ${presetText('well')};`)).toEqual({
      plugins: [{ kind: 'preset', id: 'well', api: 1, summary: 'The preset well.' }],
      problems: [],
      notes: [],
      names: [],
    });
  });

  it.each([
    ['throws', `throw new Error('the licence server does not answer');`, /^a package that throws while it loads: Error: the licence server does not answer$/],
    ['awaits what never comes', `await new Promise(() => {}); export default ${presetText('never')};`, /^a package that had not loaded after 1 s$/],
    ['loops', `for (;;);`, /^a module that blocks the process while it loads: nothing else could run for 1 s$/],
    ['exits', `process.exit(0);`, /^a module that ends the process \(code 0\) while it loads$/],
    ['throws later', `setTimeout(() => { throw new TypeError('too late'); }, 10); export default ${presetText('later')};`, /^a module that ends the process \(code 1\) while it loads: TypeError: too late$/],
    ['leaves a timer', `setInterval(() => {}, 1000); export default ${presetText('timer')};`, /^Timeout left running by loading it$/],
    ['leaves a server', `import { createServer } from 'node:net'; createServer().listen(0); export default ${presetText('server')};`, /^TCPSERVERWRAP|TCPServerWrap left running by loading it$/],
    ['changes folder', `process.chdir('/'); export default ${presetText('folder')};`, /^the working folder changed to/],
    ['is for another API', `export default ${presetText('other', { api: 7 })};`, /^7$/],
  ])('that %s is named with its fault', async (fault, code, found) => {
    const name = `pare-${fault.replaceAll(' ', '-')}`;
    const { problems } = await probed(name, code);
    expect(problems).toHaveLength(1);
    expect(problems[0]!.found).toMatch(found);
    expect(problems[0]!.path).toContain(name);
    expect(problems[0]!.fix).toMatch(fault === 'is for another API' ? /made for plugin API 7; install the version of it that is made for API 1/ : new RegExp(`Update or remove ${name}|Remove or update ${name}|Remove what ${name}`));
  });

  it('that adds globals and listeners is told so', async () => {
    const { problems, notes } = await probed('pare-notes', `globalThis.mine = 1; process.on('exit', () => {}); export default ${presetText('notes')};`);
    expect(problems).toEqual([]);
    expect(notes).toEqual(['pare-notes adds the global mine', 'pare-notes listens to "exit" of the process']);
  });

  it('is told as an abort when one comes, before or while it loads', async () => {
    const started = join(cwd, 'started');
    await writePackage(join(cwd, 'node_modules/pare-busy'), { name: 'pare-busy', code: `import { writeFileSync } from 'node:fs'; writeFileSync(${JSON.stringify(started)}, ''); for (;;);` });
    const probing = (signal: AbortSignal): Promise<ProbeResult> => probe({ kind: 'package', reference: { package: 'pare-busy', from: cwd }, seconds: 60 }, signal);
    await expect(probing(AbortSignal.abort())).rejects.toMatchObject({ code: 'PARE_ABORTED' });
    const controller = new AbortController();
    const rejected = expect(probing(controller.signal)).rejects.toMatchObject({ code: 'PARE_ABORTED' });
    await vi.waitUntil(() => existsSync(started), { timeout: 60_000 });
    controller.abort();
    await rejected;
  });
});

describe('examinePlugins', () => {
  it('names two packages with one id, and goes on past plugins that fail', async () => {
    const project = join(cwd, 'project');
    await writePackage(join(project, 'node_modules/pare-first'), { name: 'pare-first', code: `export default ${presetText('same')};` });
    await writePackage(join(project, 'node_modules/pare-second'), { name: 'pare-second', version: '2.0.0', code: `export default ${presetText('same')};`, manifest: { pare: { kind: 'preset', api: 9 } } });
    await writePackage(join(project, 'node_modules/pare-third'), { name: 'pare-third', code: `for (;;);` });
    await writeFiles(project, { 'pare.config.mjs': `export default { plugins: ['pare-first', ['pare-third', ${presetText('inline')}]] };` });
    const references = ['pare-second', 'pare-absent'].map((name) => ({ package: name, from: project, place: 'user' as const }));
    const diagnoses = await examinePlugins({ cwd: project, references, bundled: [{ kind: 'preset', id: 'inline', package: '@pare/preset-standard' }], seconds: 1 });
    expect(diagnoses.map(({ package: name, place, version }) => [name, place, version])).toEqual([
      ['pare.config', 'config', undefined],
      ['pare-first', 'config', '1.0.0'],
      ['pare-third', 'config', '1.0.0'],
      ['pare-second', 'user', '2.0.0'],
      ['pare-absent', 'user', undefined],
    ]);
    const found = Object.fromEntries(diagnoses.map(({ package: name, problems }) => [name, problems.map((problem) => problem.found)]));
    expect(found).toEqual({
      'pare.config': ['preset id "inline", which @pare/preset-standard has already'],
      'pare-first': [],
      'pare-third': [expect.stringContaining('blocks the process') as string],
      'pare-second': ['plugin API 9', 'preset id "same", which pare-first has already'],
      'pare-absent': [expect.stringContaining('no package or file "pare-absent"') as string],
    });
  });

  it('examines a package once, where it is nearest, and starts from the folder of the configuration', async () => {
    const project = join(cwd, 'nearest');
    await writePackage(join(project, 'settings/node_modules/pare-near'), { name: 'pare-near', version: '2.0.0', code: `export default ${presetText('near')};` });
    await writePackage(join(project, 'node_modules/pare-near'), { name: 'pare-near', code: `throw new Error('not this one');` });
    await writePackage(join(project, 'node_modules/pare-both'), { name: 'pare-both', code: `export default ${presetText('both')};` });
    await writeFiles(project, { 'settings/mine.mjs': `export default { plugins: ['pare-near'] };` });
    const references = [['pare-near', 'project'], ['pare-both', 'project'], ['pare-both', 'user'], ['pare-near', 'user']].map(([name, place]) => ({ package: name!, from: project, place: place as 'project' | 'user' }));
    const diagnoses = await examinePlugins({ cwd: project, config: 'settings/mine.mjs', references, bundled: [], seconds: 5 });
    expect(diagnoses.map(({ package: name, place, version, problems }) => [name, place, version, problems])).toEqual([
      ['pare-near', 'config', '2.0.0', []],
      ['pare-both', 'project', '1.0.0', []],
    ]);
  });

  it('knows the version of the package that one stands in, by its name and by a path', async () => {
    const project = join(cwd, 'own');
    await writePackage(project, { name: 'pare-own', version: '0.3.0', code: `export default ${presetText('own')};` });
    await writeFiles(project, { 'other.mjs': `export default ${presetText('other')};`, 'pare.config.mjs': `export default { plugins: ['pare-own', './other.mjs'] };` });
    const diagnoses = await examinePlugins({ cwd: project, references: [], bundled: [], seconds: 5 });
    expect(diagnoses.map(({ package: name, version, problems }) => [name, version, problems])).toEqual([
      ['pare-own', '0.3.0', []],
      ['./other.mjs', '0.3.0', []],
    ]);
  });

  it('names a configuration that is not there', async () => {
    const [diagnosis, ...others] = await examinePlugins({ cwd, config: 'absent.mjs', references: [], bundled: [], seconds: 5 });
    expect(diagnosis).toMatchObject({ package: 'absent.mjs', place: 'config', plugins: [], problems: [{ path: 'absent.mjs', found: expect.stringMatching(/absent\.mjs.*no such file/) as string, allowed: 'a configuration that can be read' }] });
    expect(others).toEqual([]);
  });

  it.each([
    ['waits for what never comes', `await new Promise(() => {}); export default {};`, /had not loaded after 1 s/],
    ['loops', `for (;;);`, /blocks the process/],
    ['throws', `throw new Error('no such luck');`, /no such luck/],
  ])('names a configuration that %s', async (what, code, found) => {
    const project = join(cwd, `config-${what.replaceAll(' ', '-')}`);
    await writeFiles(project, { 'pare.config.mjs': code });
    const [diagnosis] = await examinePlugins({ cwd: project, references: [], bundled: [], seconds: 1 });
    expect(diagnosis).toMatchObject({ package: 'pare.config', problems: [{ found: expect.stringMatching(found) as string }] });
  });
});
