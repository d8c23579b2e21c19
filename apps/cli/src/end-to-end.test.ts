import { tinyModel, sampleText } from '@pare/testkit';
import { spawn, type ChildProcess } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

/** The built command. */
const command = fileURLToPath(new URL('../dist/main.js', import.meta.url));

interface Outcome {
  readonly exitCode: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

let folder: string;
let model: string;
let text: string;
let disposeModel: () => PromiseLike<void>;

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'pare-cli-'));
  const tiny = await tinyModel('llama');
  disposeModel = () => tiny[Symbol.asyncDispose]();
  model = tiny.model;
  text = join(folder, 'text.txt');
  writeFileSync(text, sampleText(4000));
});

afterAll(async () => {
  await disposeModel();
  rmSync(folder, { recursive: true, force: true });
});

interface RunOptions {
  readonly cwd?: string;
  readonly env?: Readonly<Record<string, string>>;
  readonly nodeArguments?: readonly string[];
  /** Sees the child and its standard error as it comes. */
  readonly watch?: (child: ChildProcess, stderr: string) => void;
}

async function pare(args: readonly string[], { cwd = folder, env = {}, nodeArguments = [], watch }: RunOptions = {}): Promise<Outcome> {
  const { NO_COLOR: _noColor, FORCE_COLOR: _forceColor, ...inherited } = process.env;
  const child = spawn(process.execPath, [...nodeArguments, command, ...args], { cwd, env: { ...inherited, PARE_CACHE: join(folder, 'cache'), PARE_PLUGINS: join(folder, 'plugins'), ...env }, stdio: ['ignore', 'pipe', 'pipe'] });
  let stdout = '';
  let stderr = '';
  child.stdout.on('data', (chunk: Buffer) => {
    stdout += chunk.toString();
  });
  child.stderr.on('data', (chunk: Buffer) => {
    stderr += chunk.toString();
    watch?.(child, stderr);
  });
  const exitCode = await new Promise<number | null>((resolve) => child.on('close', resolve));
  return { exitCode, stdout, stderr };
}

/** Runs a command that must succeed and returns its JSON document. */
async function pareJson<T>(args: readonly string[], options: RunOptions = {}): Promise<T> {
  const { exitCode, stdout, stderr } = await pare([...args, '--json'], options);
  expect(stderr + (exitCode === 0 ? '' : stdout)).not.toContain('PARE_');
  expect(exitCode).toBe(0);
  return JSON.parse(stdout) as T;
}

const rounding = (output: string): string[] => ['compress', model, '--recipe', 'rtn-w8', '--output', output];
const calibrated = (output: string): string[] => [
  ...['compress', model, '--recipe', 'gptq-w4', '--set', 'gptq.groupSize=16', '--output', output],
  ...['--calibration', text, '--samples', '8', '--sequence-length', '16'],
];

/** SHA-256 of every file of a folder. */
function hashes(directory: string): Record<string, string> {
  const names = (readdirSync(directory, { recursive: true, withFileTypes: true }) as { isFile(): boolean; parentPath: string; name: string }[]).filter((entry) => entry.isFile());
  return Object.fromEntries(names.map(({ parentPath, name }) => [join(parentPath, name).slice(directory.length + 1), createHash('sha256').update(readFileSync(join(parentPath, name))).digest('hex')]));
}

describe('help', () => {
  it('lists the commands, and the options of each with an example', async () => {
    const { stdout, exitCode } = await pare(['--help']);
    expect(exitCode).toBe(0);
    for (const name of ['compress', 'evaluate', 'plan', 'inspect', 'plugins', 'backends', 'init', 'completion']) expect(stdout).toMatch(new RegExp(`^ {2}${name} `, 'm'));
    const help = (await pare(['help', 'compress'])).stdout;
    for (const option of ['recipe', 'set', 'output', 'format', 'calibration', 'samples', 'sequence-length', 'seed', 'memory', 'backend', 'resume', 'overwrite', 'json', 'quiet', 'debug', 'no-color']) {
      expect(help).toContain(`--${option}`);
    }
    expect(help).toContain('default: 128');
    expect(help).toContain('Examples:');
    expect((await pare(['compress', '--help'])).stdout).toBe(help);
    expect((await pare([])).stdout).toBe(stdout);
  });

  it('prints the version', async () => {
    expect((await pare(['--version'])).stdout).toMatch(/^\d+\.\d+\.\d+\n$/);
  });

  it('loads nothing heavy: no plugin, no host, no schema library', async () => {
    const record = join(folder, 'loaded.txt');
    const hooks = `import { appendFileSync } from 'node:fs'; export async function resolve(name, context, next) { const found = await next(name, context); appendFileSync(${JSON.stringify(record)}, found.url + '\\n'); return found; }`;
    const register = `import { register } from 'node:module'; register('data:text/javascript,' + encodeURIComponent(${JSON.stringify(hooks)}));`;
    const { exitCode } = await pare(['compress', '--help'], { nodeArguments: ['--import', `data:text/javascript,${encodeURIComponent(register)}`] });
    expect(exitCode).toBe(0);
    const loaded = readFileSync(record, 'utf8');
    expect(loaded).toContain('commander');
    expect(loaded).not.toMatch(/node_modules\/(zod|tsyringe|onnxruntime-node|@huggingface|yaml|jiti|log-update)\/|plugins\/|packages\/(?!core\/)/);
  });
});

describe('compress', () => {
  it('prints one JSON document and writes the folder', async () => {
    const output = join(folder, 'rounded');
    const document = await pareJson<Record<string, unknown>>(rounding(output));
    expect(Object.keys(document)).toEqual(expect.arrayContaining(['output', 'seconds', 'peakMemoryBytes', 'stages', 'metrics']));
    expect(document['output']).toBe(output);
    expect(document['stages']).toEqual([expect.objectContaining({ technique: 'rtn', modules: 14 })]);
    expect(document['metrics']).toEqual({ parameters: expect.any(Number) as number, bytes: expect.any(Number) as number, bitsPerWeight: expect.any(Number) as number, compressionRatio: expect.any(Number) as number });
    expect(readdirSync(output)).toEqual(expect.arrayContaining(['pare.json', 'config.json', 'model.safetensors', 'tokenizer.json']));
    expect(readdirSync(folder).filter((name) => name.startsWith('rounded'))).toEqual(['rounded']);
  });

  it('prints a table for people, with progress in plain lines on standard error', async () => {
    const output = join(folder, 'table');
    const { exitCode, stdout, stderr } = await pare([...calibrated(output), '--data', text]);
    expect(exitCode).toBe(0);
    expect(stdout).toMatch(/perplexity +\d+/);
    expect(stdout).toMatch(/bitsPerWeight +32\.000 +\d+\.\d{3}/);
    expect(stdout).toMatch(/peak memory +\d/);
    expect(stdout).toContain(output);
    expect(stderr).toContain('gptq: 14 modules in 2 layers');
    expect(stderr).toMatch(/gptq: layer 2\/2, .* s, loss /);
    expect(stdout + stderr).not.toContain('\u001b');
  });

  it('prunes, recovers, quantizes and exports by one recipe, and reports on it', async () => {
    const document = readFileSync(fileURLToPath(new URL('../../../docs/recipes.md', import.meta.url)), 'utf8');
    const recipe = join(folder, 'prune-recover-quantize.yaml');
    writeFileSync(recipe, /```yaml\n([^`]*prune-recover-quantize[^`]*)```/.exec(document)![1]!);
    const output = join(folder, 'recovered');
    const small = ['llm-pruner.multipleOf=16', 'distill-logits.steps=3', 'distill-logits.warmup=1', 'distill-logits.loraRank=2', 'gptq.groupSize=16'].flatMap((setting) => ['--set', setting]);
    const settings = ['--calibration', text, '--samples', '16', '--sequence-length', '16', '--data', text, '--format', 'hf,onnx', '--output', output];
    interface Compression {
      readonly stages: readonly { readonly technique: string; readonly modules: number }[];
      readonly metrics: Readonly<Record<string, number>>;
      readonly metricsBefore: Readonly<Record<string, number>>;
    }
    const { stages, metrics, metricsBefore } = await pareJson<Compression>(['compress', model, '--recipe', recipe, ...small, ...settings]);
    expect(stages.map(({ technique, modules }) => [technique, modules])).toEqual([['llm-pruner', 14], ['distill-logits', 14], ['gptq', 14]]);
    expect(metrics['parameters']).toBeLessThan(metricsBefore['parameters']!);
    expect(metrics['perplexity']).toBeGreaterThan(1);
    expect(readdirSync(join(output, 'onnx'))).toContain('model_q4.onnx');
    const report = join(folder, 'recovered.html');
    expect((await pare(['report', output, '--output', report])).exitCode).toBe(0);
    const page = readFileSync(report, 'utf8');
    for (const technique of ['llm-pruner', 'distill-logits', 'gptq']) expect(page).toContain(technique);
  });

  it('says nothing on standard error with --quiet, and colours when told to', async () => {
    const quiet = await pare([...rounding(join(folder, 'quiet')), '--quiet']);
    expect(quiet).toMatchObject({ exitCode: 0, stderr: '' });
    const colored = await pare([...rounding(join(folder, 'colored')), '--quiet'], { env: { FORCE_COLOR: '1' } });
    expect(colored.stdout).toContain('\u001b[');
    const plain = await pare([...rounding(join(folder, 'plain')), '--quiet', '--no-color'], { env: { FORCE_COLOR: '1' } });
    expect(plain.stdout).not.toContain('\u001b[');
  });

  it('hands settings to techniques, formats, evaluators and the backend', async () => {
    const output = join(folder, 'settings');
    const words = [...rounding(output), '--set', 'rtn.groupSize=16', '--format', 'hf,onnx', '--set', 'onnx.dtype=q8,fp32', '--backend', 'cpu', '--set', 'cpu.threads=1', '--data', text, '--sequence-length', '16', '--set', 'perplexity.samples=2'];
    const document = await pareJson<{ formats: { id: string; files: { path: string }[] }[] }>(words);
    expect(document.formats.find(({ id }) => id === 'onnx')!.files.map(({ path }) => path)).toEqual(expect.arrayContaining(['onnx/model.onnx', 'onnx/model_quantized.onnx']));
    const manifest = JSON.parse(readFileSync(join(output, 'pare.json'), 'utf8')) as { recipe: { stages: { options: object }[] } };
    expect(manifest.recipe.stages[0]!.options).toMatchObject({ bits: 8, groupSize: 16 });
    // What auto chooses counts as chosen.
    expect(await pareJson<object>(['plan', model, '--recipe', 'rtn-w8', '--set', 'cpu.threads=1'])).toMatchObject({ backend: { id: 'cpu' } });
    const other = await pare(['plan', model, '--recipe', 'rtn-w8', '--set', 'reference.threads=1']);
    expect(other).toMatchObject({ exitCode: 2, stderr: expect.stringMatching(/^PARE_COMMAND_INVALID --set reference\.threads=1 changes a backend that is not asked for; auto chose cpu\n +Add --backend reference/m) as string });
    const stray = await pare([...rounding(join(folder, 'stray')), '--set', 'onnx.dtype=q8']);
    expect(stray.stderr).toMatch(/^PARE_COMMAND_INVALID --set onnx\.dtype=q8 changes a format that is not asked for\n +Add --format onnx/m);
    const wrong = await pare([...rounding(join(folder, 'stray')), '--format', 'onnx', '--set', 'onnx.dtpye=q8']);
    expect(wrong.stderr).toMatch(/Did you mean "dtype"/);
  });

  it('replaces its own output only with --overwrite', async () => {
    const output = join(folder, 'twice');
    await pareJson(rounding(output));
    const again = await pare([...rounding(output), '--json']);
    expect(again.exitCode).toBe(2);
    expect(again.stderr).toMatch(/^PARE_OUTPUT_EXISTS /m);
    expect(JSON.parse(again.stdout)).toMatchObject({ error: { code: 'PARE_OUTPUT_EXISTS', message: expect.any(String) as string, help: expect.any(String) as string } });
    await pareJson([...rounding(output), '--overwrite']);
  });

  it('stops cleanly at Ctrl-C, says how to go on, and goes on with the same result', async () => {
    const whole = join(folder, 'whole');
    const parts = join(folder, 'parts');
    const slow = (output: string): string[] => [...calibrated(output), '--set', 'gptq.trueSequential=true', '--samples', '64', '--sequence-length', '32'];
    await pareJson(slow(whole));
    let sent = false;
    const stopped = await pare(slow(parts), {
      watch: (child, stderr) => {
        if (sent || !stderr.includes('layer 1/2')) return;
        sent = true;
        child.kill('SIGINT');
      },
    });
    expect(stopped.exitCode).toBe(130);
    expect(stopped.stderr).toMatch(/^PARE_ABORTED /m);
    expect(readdirSync(folder)).not.toContain('parts');
    expect(stopped.stderr).toContain(`pare ${slow(parts).join(' ')} --resume`);

    const resumed = await pareJson<{ restoredBlocks: number }>([...slow(parts), '--resume']);
    expect(resumed.restoredBlocks).toBeGreaterThanOrEqual(1);
    expect(hashes(parts)).toEqual(hashes(whole));
    expect(readdirSync(folder).filter((name) => name.startsWith('parts'))).toEqual(['parts']);
  });
});

describe('evaluate, plan, inspect', () => {
  it('evaluate prints plain metric names', async () => {
    const document = await pareJson<{ model: string; metrics: Record<string, number> }>(['evaluate', model, '--data', text, '--samples', '4', '--sequence-length', '16']);
    expect(document.model).toBe(model);
    expect(Object.keys(document.metrics).sort()).toEqual(['bitsPerWeight', 'bytes', 'compressionRatio', 'parameters', 'perplexity']);
    const { stdout } = await pare(['evaluate', model]);
    expect(stdout).toMatch(/^parameters +[\d,]+$/m);
  });

  it('evaluate compares with the original', async () => {
    const output = join(folder, 'compared');
    const measured = ['--data', text, '--sequence-length', '16', '--evaluator', 'divergence,layer-error'];
    interface Document {
      readonly metrics: Record<string, number>;
      readonly metricsBefore: object;
    }
    const samples = ['divergence', 'layer-error'].flatMap((id) => ['--set', `${id}.samples=4`]);
    const { metrics, metricsBefore } = await pareJson<Document>([...rounding(output), ...measured, ...samples]);
    expect(metricsBefore).toEqual({});
    expect(metrics['klDivergence']).toBeGreaterThan(0);
    expect(metrics['layerErrorMean']).toBeGreaterThan(0);
    expect((await pareJson<Document>(['evaluate', output, '--original', model, ...measured, '--samples', '4'])).metrics).toEqual(metrics);
    const { stderr } = await pare(['evaluate', output, ...measured]);
    expect(stderr).toMatch(/^PARE_ORIGINAL_MISSING /m);
    const { metrics: byDefault } = await pareJson<Document>(['evaluate', output, '--original', model, '--data', text, '--samples', '4', '--sequence-length', '16']);
    expect(byDefault).toMatchObject({ klDivergence: metrics['klDivergence'], perplexity: expect.any(Number) as number, bytes: expect.any(Number) as number });
  });

  it('compress --evaluate measures before and after and writes a report beside the output', async () => {
    const output = join(folder, 'reported');
    interface Document {
      readonly metrics: Record<string, number>;
      readonly metricsBefore: Record<string, number>;
      readonly report: string;
    }
    const measured = ['--evaluate', 'size,perplexity', '--data', text, '--sequence-length', '16', '--set', 'perplexity.samples=4'];
    const { metrics, metricsBefore, report } = await pareJson<Document>([...rounding(output), ...measured]);
    expect(Object.keys(metrics)).toEqual(Object.keys(metricsBefore));
    expect(report).toBe(`${output}.report.html`);
    const page = readFileSync(report, 'utf8');
    expect(page).toContain('<!doctype html>');
    expect(page).toContain('Perplexity');
    const { metrics: byDefault } = await pareJson<Document>([...rounding(output), '--overwrite', '--evaluate']);
    expect(Object.keys(byDefault)).toEqual(['parameters', 'bytes', 'bitsPerWeight', 'compressionRatio']);
  });

  it('plan tells bytes, memory and time, and writes nothing', async () => {
    const output = join(folder, 'planned');
    mkdirSync(output);
    const words = ['plan', model, '--recipe', 'gptq-w4', '--set', 'gptq.groupSize=16', '--calibration', text, '--samples', '8', '--sequence-length', '16'];
    const document = await pareJson<Record<string, unknown>>(words, { cwd: output });
    expect(document).toMatchObject({ outputBytes: expect.any(Number) as number, peakMemoryBytes: expect.any(Number) as number, stages: [{ technique: 'gptq' }] });
    const { stdout } = await pare([...words, '--modules'], { cwd: output });
    expect(stdout).toContain('bits per weight');
    expect(stdout).toContain('model.layers.1.mlp.down_proj');
    const without = await pare(words.slice(0, 6), { cwd: output });
    expect(without).toMatchObject({ exitCode: 0, stdout: expect.stringContaining('missing gptq needs calibration text and none was given; a run would be refused. Give a text file with --calibration') as string });
    expect(stdout).not.toContain('missing');
    expect(readdirSync(output)).toEqual([]);
  });

  it('inspect shows a model and how it was compressed', async () => {
    const output = join(folder, 'inspected');
    await pareJson(rounding(output));
    const document = await pareJson<{ modules: { name: string; form: string }[]; manifest: { recipe: unknown } }>(['inspect', output]);
    expect(document.modules.filter(({ form }) => form === 'quantized')).toHaveLength(14);
    expect(document.manifest.recipe).toMatchObject({ version: 1, stages: [{ technique: 'rtn' }] });
    const { stdout } = await pare(['inspect', output, '--modules', '--tensors']);
    expect(stdout).toMatch(/^made by +Pare: rtn-w8, rtn$/m);
    expect(stdout).toMatch(/model\.layers\.0\.self_attn\.q_proj +linear +attention\.query +\d+ × \d+ +quantized/);
  });
});

describe('plugins', () => {
  it('lists plugins with id, kind, package, version and API', async () => {
    const plugins = await pareJson<Record<string, unknown>[]>(['plugins']);
    expect(plugins).toContainEqual({ id: 'gptq', kind: 'technique', package: '@pare/technique-gptq', version: '0.1.0', api: 1 });
    expect(new Set(plugins.map(({ kind }) => kind))).toEqual(new Set(['technique', 'preset', 'evaluator', 'format', 'backend', 'architecture']));
    expect(await pareJson(['plugins', 'list'])).toEqual(plugins);
    const { stdout } = await pare(['plugins']);
    for (const heading of ['Techniques', 'Presets', 'Evaluators', 'Formats', 'Backends', 'Architectures']) expect(stdout).toMatch(new RegExp(`^${heading}$`, 'm'));
  });

  it('shows options and an example of a plugin, and finds a misspelt one', async () => {
    const { stdout } = await pare(['plugins', 'info', 'gptq']);
    expect(stdout).toMatch(/groupSize +integer.*; default 128/);
    expect(stdout).toContain('- technique: gptq');
    expect((await pare(['plugins', 'gptq'])).stdout).toBe(stdout);
    const wrong = await pare(['plugins', 'info', 'gtpq']);
    expect(wrong.exitCode).toBe(2);
    expect(wrong.stderr).toContain('Did you mean "gptq"?');
    const document = await pareJson<{ options: { properties: object } }>(['plugins', 'info', 'rtn']);
    expect(Object.keys(document.options.properties)).toContain('bits');
  });

  it('takes plugins from pare.config.ts, and names their packages', async () => {
    const project = join(folder, 'project');
    const installed = join(project, 'node_modules/pare-preset-mine');
    mkdirSync(installed, { recursive: true });
    writeFileSync(join(project, 'package.json'), JSON.stringify({ name: 'project', dependencies: { 'pare-preset-mine': '*' } }));
    writeFileSync(join(installed, 'package.json'), JSON.stringify({ name: 'pare-preset-mine', version: '3.2.1', type: 'module', exports: { '.': './index.js', './package.json': './package.json' }, pare: { kind: 'preset', api: 1 } }));
    writeFileSync(
      join(installed, 'index.js'),
      `export default { $$type: '@pare/preset', id: 'mine', api: 1, title: 'Mine', summary: 'My own.', recipe: { version: 1, stages: [{ technique: 'rtn', options: { bits: 5 } }] } };\n`,
    );
    const before = await pareJson<{ package: string; configLine: string }[]>(['plugins', 'scan'], { cwd: project });
    expect(before).toEqual([expect.objectContaining({ package: 'pare-preset-mine', version: '3.2.1', kind: 'preset' })]);
    writeFileSync(join(project, 'pare.config.ts'), `import type { PareConfig } from '@pare/core';\nexport default {\n  plugins: [\n    ${before[0]!.configLine}\n  ],\n} satisfies PareConfig;\n`);
    const plugins = await pareJson<{ id: string }[]>(['plugins'], { cwd: project });
    expect(plugins.find(({ id }) => id === 'mine')).toEqual({ id: 'mine', kind: 'preset', package: 'pare-preset-mine', version: '3.2.1', api: 1 });
    const elsewhere = await pareJson<{ id: string }[]>(['plugins', '--config', join(project, 'pare.config.ts')]);
    expect(elsewhere.some(({ id }) => id === 'mine')).toBe(true);
  });

  it('lists backends with the one that auto takes', async () => {
    const backends = await pareJson<{ id: string; chosen: boolean }[]>(['backends']);
    expect(backends.filter(({ chosen }) => chosen)).toHaveLength(1);
    expect(backends.map(({ id }) => id).sort()).toEqual(['cpu', 'cuda', 'reference', 'webgpu']);
    expect((await pare(['backends'])).stdout).toMatch(/auto +cpu/);
  });
});

describe('init', () => {
  it('writes a configuration and a recipe that work, and never over others', async () => {
    const project = join(folder, 'fresh');
    const { stdout, exitCode } = await pare(['init', 'fresh', '--recipe', 'rtn-w8']);
    expect(exitCode).toBe(0);
    expect(stdout).toContain('fresh/recipe.yaml');
    const recipe = readFileSync(join(project, 'recipe.yaml'), 'utf8');
    expect(recipe).toMatch(/bits: 8 +# /);
    await pareJson(['compress', model, '--recipe', 'recipe.yaml', '--output', 'out'], { cwd: project });
    expect(readdirSync(join(project, 'out'))).toContain('pare.json');

    const again = await pare(['init', 'fresh']);
    expect(again.exitCode).toBe(2);
    expect(again.stderr).toContain('pare.config.ts and recipe.yaml');
    expect(readFileSync(join(project, 'recipe.yaml'), 'utf8')).toBe(recipe);
  });
});

describe('completion', () => {
  it.each(['bash', 'zsh', 'fish', 'powershell'])('prints a script for %s', async (shell) => {
    const { stdout, exitCode } = await pare(['completion', shell]);
    expect(exitCode).toBe(0);
    expect(stdout).toMatch({ bash: /complete -F \S+ pare/, zsh: /#compdef pare/, fish: /complete -c pare/, powershell: /Register-ArgumentCompleter -CommandName 'pare'/ }[shell]!);
  });

  it('completes commands, flags and names', async () => {
    const complete = async (...words: string[]): Promise<string[]> =>
      (await pare(['complete', '--', ...words])).stdout
        .split('\n')
        .filter((line) => line !== '' && !line.startsWith(':'))
        .map((line) => line.split('\t')[0]!);
    expect(await complete('pl')).toEqual(['plan', 'plugins']);
    expect(await complete('compress', '--rec')).toEqual(['--recipe']);
    expect(await complete('compress', 'm', '--recipe', 'gptq')).toEqual(['gptq-w3', 'gptq-w4', 'gptq-w4-asymmetric', 'gptq-w8']);
    expect(await complete('compress', 'm', '--backend', '')).toEqual(['auto', 'cpu', 'cuda', 'reference', 'webgpu']);
    expect(await complete('plugins', '')).toEqual(expect.arrayContaining(['list', 'info', 'scan', 'install', 'remove', 'doctor', 'lock']));
  });
});
