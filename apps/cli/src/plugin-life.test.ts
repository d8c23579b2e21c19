import { tinyModel } from '@pare/testkit';
import { spawn } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';

vi.setConfig({ testTimeout: 180_000 });

/** The built command. */
const command = fileURLToPath(new URL('../dist/main.js', import.meta.url));

let folder: string;
let project: string;

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'pare-plugin-life-'));
  project = join(folder, 'project');
  write('project/package.json', '{ "name": "project", "private": true }\n');
});

afterAll(() => {
  rmSync(folder, { recursive: true, force: true });
});

function write(path: string, text: string): void {
  mkdirSync(dirname(join(folder, path)), { recursive: true });
  writeFileSync(join(folder, path), text);
}

/** A package with a preset, or with other code. */
function writePlugin(path: string, name: string, id: string, code?: string): void {
  write(`${path}/package.json`, JSON.stringify({ name, version: '1.0.0', type: 'module', exports: { '.': './index.js', './package.json': './package.json' }, pare: { kind: 'preset', api: 1 } }));
  const preset = `{ $$type: '@pare/preset', id: '${id}', api: 1, title: 'Mine', summary: 'My own.', recipe: { version: 1, stages: [{ technique: 'rtn', options: { bits: 8, groupSize: 16 } }] } }`;
  write(`${path}/index.js`, code ?? `export default ${preset};\n`);
}

async function pare(...args: readonly string[]): Promise<{ exitCode: number | null; stdout: string; stderr: string }> {
  const child = spawn(process.execPath, [command, ...args], { cwd: project, env: { ...process.env, PARE_PLUGINS: join(folder, 'store'), NO_COLOR: '1' }, stdio: ['ignore', 'pipe', 'pipe'] });
  let stdout = '';
  let stderr = '';
  child.stdout.on('data', (chunk: Buffer) => (stdout += chunk.toString()));
  child.stderr.on('data', (chunk: Buffer) => (stderr += chunk.toString()));
  const exitCode = await new Promise<number | null>((resolve) => child.on('close', resolve));
  return { exitCode, stdout, stderr };
}

describe('pare plugins', () => {
  it('installs into a project, locks, refuses a run with other plugins than the locked, and removes', async () => {
    writePlugin('mine', 'pare-preset-mine', 'mine');
    expect(await pare('plugins', 'install', '../mine')).toMatchObject({ exitCode: 0, stdout: expect.stringContaining('installed pare-preset-mine 1.0.0 in this project: preset mine') as string });
    expect(JSON.parse(readFileSync(join(project, 'package.json'), 'utf8'))).toMatchObject({ pare: { plugins: ['pare-preset-mine'] } });

    expect((await pare('plugins', 'lock')).stdout).toMatch(/^locked \d+ packages in pare-plugins\.lock\.json/);
    expect(Object.keys((JSON.parse(readFileSync(join(project, 'pare-plugins.lock.json'), 'utf8')) as { packages: object }).packages)).toEqual(expect.arrayContaining(['@pare/technique-rtn', 'pare-preset-mine']));
    write('project/recipe.yaml', 'version: 1\nplugins: { lock: pare-plugins.lock.json }\nstages:\n  - technique: rtn\n    options: { groupSize: 16 }\n');
    await using tiny = await tinyModel('llama');
    const compress = (output: string): ReturnType<typeof pare> => pare('compress', tiny.model, '--recipe', 'recipe.yaml', '--output', output);
    expect(await compress('out')).toMatchObject({ exitCode: 0 });
    expect(JSON.parse(readFileSync(join(project, 'out/pare.json'), 'utf8'))).toMatchObject({ recipe: { plugins: { lock: 'pare-plugins.lock.json' } } });

    writePlugin('mine', 'pare-preset-mine', 'mine', `${readFileSync(join(folder, 'mine/index.js'), 'utf8')}// More.\n`);
    const refused = await compress('never');
    expect(refused.exitCode).toBe(2);
    expect(refused.stderr).toMatch(/^PARE_PLUGIN_LOCK_BROKEN plugins are not those of .*pare-plugins\.lock\.json:\n {2}pare-preset-mine: locked 1\.0\.0 sha256:\w+; found 1\.0\.0 sha256:\w+$/m);
    expect(existsSync(join(project, 'never'))).toBe(false);

    expect(await pare('plugins', 'remove', 'pare-preset-mine')).toMatchObject({ exitCode: 0, stdout: 'removed pare-preset-mine\n' });
    expect(await pare('plugins', 'lock', '--check')).toMatchObject({ exitCode: 2, stderr: expect.stringContaining('pare-preset-mine: locked version 1.0.0 with preset "mine"; found nothing') as string });
  });

  it('doctor tells which plugins are ill and of what; the user’s own give way to the rest', async () => {
    writePlugin('project/node_modules/pare-loops', 'pare-loops', 'loops', 'for (;;);\n');
    writePlugin('project/node_modules/pare-well', 'pare-well', 'well');
    write('project/pare.config.mjs', `export default { plugins: ['pare-well', 'pare-loops'] };\n`);
    writePlugin('store/pare-twin/node_modules/pare-twin', 'pare-twin', 'gptq-w4');
    write('store/pare-twin/pare-plugin.json', JSON.stringify({ package: 'pare-twin', version: '1.0.0', plugins: [{ kind: 'preset', id: 'gptq-w4' }] }));
    const { exitCode, stdout } = await pare('plugins', 'doctor', '--timeout', '1');
    expect(exitCode).toBe(2);
    expect(stdout).toMatch(/^pare-well +1\.0\.0 +config +preset well +well$/m);
    expect(stdout).toMatch(/^pare-twin +1\.0\.0 +user +preset gptq-w4 +1 problem\(s\)$/m);
    expect(stdout).toContain('pare-loops: found a module that blocks the process while it loads: nothing else could run for 1 s');
    expect(stdout).toContain('pare-twin: found preset id "gptq-w4", which @pare/preset-standard has already');

    write('project/pare.config.mjs', `export default { plugins: ['pare-well'] };\n`);
    const listed = await pare('plugins', '--json');
    expect(JSON.parse(listed.stdout)).toContainEqual({ id: 'well', kind: 'preset', package: 'pare-well', version: '1.0.0', api: 1 });
    expect(listed).toMatchObject({ exitCode: 0, stderr: expect.stringMatching(/^warning left out plugins\[\d+\] \(pare-twin\) export "default": found preset id "gptq-w4", which plugins\[\d+\] \(@pare\/preset-standard\)/m) as string });
    expect(await pare('plugins', 'remove', '--user', 'pare-twin')).toMatchObject({ exitCode: 0 });
    expect(readdirSync(join(folder, 'store'))).toEqual([]);
    const { plugins, healthy } = JSON.parse((await pare('plugins', 'doctor', '--json')).stdout) as { healthy: boolean; plugins: object[] };
    expect(healthy).toBe(true);
    expect(plugins).toMatchObject([{ package: 'pare-well', version: '1.0.0', place: 'config', plugins: [{ kind: 'preset', id: 'well' }], problems: [] }]);
  });
});
