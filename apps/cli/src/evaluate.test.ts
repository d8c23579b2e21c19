import { folderHashes, sampleText, tinyModel } from '@pare/testkit';
import { spawn } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

/** The built command. */
const command = fileURLToPath(new URL('../dist/main.js', import.meta.url));

interface Document {
  readonly model: string;
  readonly artifact?: string;
  readonly recipe?: { readonly name: string };
  readonly metrics: Readonly<Record<string, number>>;
  readonly evaluations: readonly { readonly evaluator: string; readonly metrics: Readonly<Record<string, number>>; readonly details: unknown; readonly cached: boolean }[];
}

let folder: string;
let model: string;
let text: string;
let items: string;
let exported: string;
let disposeModel: () => PromiseLike<void>;

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'pare-evaluate-'));
  const tiny = await tinyModel('llama');
  disposeModel = () => tiny[Symbol.asyncDispose]();
  model = tiny.model;
  text = join(folder, 'text.txt');
  writeFileSync(text, sampleText(200_000));
  items = join(folder, 'items.jsonl');
  const words = sampleText(40_000).split(' ');
  writeFileSync(items, words.slice(0, 2400).map((word, index) => `${JSON.stringify({ query: `${word} ${words[index + 1]!}`, choices: ['one', 'two'], answer: 'two', label: 1 })}\n`).join(''));
  exported = join(folder, 'exported');
  await run(['compress', model, '--recipe', 'rtn-w4', '--set', 'rtn.groupSize=32', '--output', exported, '--format', 'onnx', '--set', 'onnx.dtype=fp32,q4', '--set', 'onnx.verifyByRunning=false']);
});

afterAll(async () => {
  await disposeModel();
  rmSync(folder, { recursive: true, force: true });
});

interface Outcome {
  readonly code: number | null;
  readonly killed: boolean;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs the command. `killWhen` is asked every few milliseconds whether to kill it. */
async function run(args: readonly string[], { cache = 'cache', cwd = folder, killWhen }: { readonly cache?: string; readonly cwd?: string; readonly killWhen?: () => boolean } = {}): Promise<Outcome> {
  const child = spawn(process.execPath, [command, ...args], { cwd, env: { ...process.env, PARE_CACHE: join(folder, cache), PARE_PLUGINS: join(folder, 'plugins'), NO_COLOR: '1' }, stdio: ['ignore', 'pipe', 'pipe'] });
  const timer = setInterval(() => {
    if (killWhen?.() === true) child.kill('SIGKILL');
  }, 2);
  let stdout = '';
  let stderr = '';
  child.stdout.on('data', (chunk: Buffer) => (stdout += chunk.toString()));
  child.stderr.on('data', (chunk: Buffer) => (stderr += chunk.toString()));
  const [code, signal] = await new Promise<[number | null, string | null]>((resolve) => child.on('close', (...end) => resolve(end)));
  clearInterval(timer);
  return { code, killed: signal === 'SIGKILL', stdout, stderr };
}

async function json<T = Document>(args: readonly string[], options?: Parameters<typeof run>[1]): Promise<T> {
  const { code, stdout, stderr } = await run([...args, '--json'], options);
  expect(code, stderr).toBe(0);
  return JSON.parse(stdout) as T;
}

const short = (): string[] => ['--data', text, '--samples', '2', '--sequence-length', '16'];

describe('kill -9 and --resume', () => {
  it.each([
    ['perplexity', () => ['--data', text, '--samples', '1024', '--sequence-length', '128']],
    ['divergence', () => ['--data', text, '--samples', '512', '--sequence-length', '128', '--original', model]],
    ['multiple-choice', () => ['--items', items]],
    ['generation', () => ['--items', items, '--samples', '64', '--set', 'generation.batchSize=2', '--set', 'generation.maxNewTokens=6']],
  ])('of %s go on where the evaluation was, with the same result to the bit', async (evaluator, options) => {
    const cache = `killed-${evaluator}`;
    const args = ['evaluate', model, '--evaluator', evaluator, ...options()];
    const progress = join(folder, cache, 'progress');
    /** Finished pieces so far, with the time they were written. */
    const pieces = (): Record<string, number> =>
      existsSync(progress)
        ? Object.fromEntries((readdirSync(progress, { recursive: true }) as string[]).flatMap((name) => (name.endsWith('.json') ? [[name, statSync(join(progress, name)).mtimeMs]] : [])))
        : {};

    const first = await run(args, { cache, killWhen: () => Object.keys(pieces()).length > 0 });
    expect(first.killed).toBe(true);
    const kept = pieces();
    expect(Object.keys(kept).length).toBeGreaterThan(0);
    const again = await run([...args, '--resume'], { cache, killWhen: () => Object.keys(pieces()).length > Object.keys(kept).length });
    expect(again.killed).toBe(true);
    // Nothing that was finished was computed anew.
    expect(pieces()).toMatchObject(kept);

    const resumed = await json([...args, '--resume'], { cache });
    const whole = await json([...args, '--no-cache'], { cache });
    expect(resumed.evaluations[0]).toMatchObject({ evaluator, cached: false });
    expect({ metrics: resumed.metrics, details: resumed.evaluations[0]!.details }).toEqual({ metrics: whole.metrics, details: whole.evaluations[0]!.details });
    expect(readdirSync(progress)).toEqual([]);
  }, 120_000);
});

describe('the cache', () => {
  it('gives what was measured before, says so, and is left out with --no-cache', async () => {
    const args = ['evaluate', model, ...short()];
    const first = await json(args);
    const second = await json(args);
    const cached = ({ evaluations }: Document): (string | boolean)[][] => evaluations.map(({ evaluator, cached: taken }) => [evaluator, taken]);
    expect(cached(first)).toEqual([['perplexity', false], ['size', false]]);
    expect(cached(second)).toEqual([['perplexity', true], ['size', false]]);
    expect(second.metrics).toEqual(first.metrics);
    expect(cached(await json([...args, '--no-cache']))).toEqual(cached(first));
    expect((await run(args)).stdout).toMatch(/perplexity .* \(cached\)/);
    // A copy of the model is the same model; another folder for results knows nothing.
    expect(cached(await json([...args, '--cache', join(folder, 'elsewhere')]))).toEqual(cached(first));
  });

  it('and --resume answer for no plugin of a project whose code changed under one version', async () => {
    const project = join(folder, 'project');
    const core = new URL('../../../packages/core/dist/index.js', import.meta.url).href;
    const plugin = (factor: number, fails = false): void =>
      writeFileSync(join(project, 'mine', 'scale.js'), `export const apply = (value) => { ${fails ? `if (value.block === 1) throw new Error('broken');` : ''} return ${String(factor)}; };\n`);
    mkdirSync(join(project, 'mine'), { recursive: true });
    writeFileSync(join(project, 'pare.config.mjs'), `export default { plugins: ['./mine/index.js'] };\n`);
    writeFileSync(join(project, 'mine', 'package.json'), JSON.stringify({ name: 'pare-technique-mine', version: '1.0.0', type: 'module' }));
    writeFileSync(
      join(project, 'mine', 'index.js'),
      `import { defineTechnique, noOptions } from '${core}';
import { apply } from './scale.js';
export default defineTechnique({
  id: 'mine', api: 1, title: 'Mine', summary: 'Scales.', family: 'quantization', scope: 'tensor', options: noOptions, accepts: ['dense'], produces: ['dense'],
  plan: (targets) => targets.map(({ info: { name, shape } }) => ({ module: name, produces: 'dense', storedBits: shape[0] * shape[1] * 32, workingBytes: 0, flops: 0 })),
  async apply({ modules }) {
    for (const { info, replace } of modules) {
      const data = new Float32Array(info.shape[0] * info.shape[1]).fill(apply(info) / 100);
      await replace({ form: 'dense', shape: info.shape, tensor: { dtype: 'float32', shape: info.shape, data } });
    }
  },
});
`,
    );
    writeFileSync(join(project, 'recipe.yaml'), 'version: 1\nstages:\n  - technique: mine\n');
    const inProject = { cwd: project, cache: 'changing' };
    const args = ['evaluate', model, '--recipe', 'recipe.yaml', '--evaluator', 'perplexity', ...short()];
    // The second line is what the recipe makes of the model.
    const measure = async (): Promise<unknown> => (await json<{ results: Document[] }>(args, inProject)).results[1]!.evaluations[0]!.cached;
    plugin(1);
    expect(await measure()).toBe(false);
    plugin(2);
    expect([await measure(), await measure()]).toEqual([false, true]);

    const compress = ['compress', model, '--recipe', 'recipe.yaml', '--output', 'out'];
    plugin(3, true);
    expect((await run(compress, inProject)).stderr).toContain('PARE_PLUGIN_FAILED');
    plugin(3);
    const other = await run([...compress, '--resume'], inProject);
    expect(other).toMatchObject({ code: 2, stderr: expect.stringMatching(/PARE_RESUME_MISMATCH .*plugins\.technique mine was "pare-technique-min….\w{16}", is "pare-technique-min….\w{16}"/) as string });
  });

  it('marks cached values in compare and in reports', async () => {
    const [one, two] = [join(folder, 'one.json'), join(folder, 'two.json')];
    for (const file of [one, two]) writeFileSync(file, JSON.stringify(await json(['evaluate', file === one ? model : join(exported, 'onnx', 'model.onnx'), ...short()])));
    writeFileSync(one, JSON.stringify(await json(['evaluate', model, ...short()])));
    const compared = await run(['compare', one, two]);
    expect(compared.stdout).toMatch(/\d°/);
    expect(compared.stdout).toContain('° cached, measured in an earlier run');
    await run(['report', one, two, '--output', join(folder, 'page'), '--format', 'html,md,csv']);
    expect(readFileSync(join(folder, 'page.html'), 'utf8')).toContain('>cached</span>');
    expect(readFileSync(join(folder, 'page.md'), 'utf8')).toContain('° cached, measured in an earlier run');
    expect(readFileSync(join(folder, 'page.csv'), 'utf8').split('\r\n')[0]).toMatch(/,cached$/);
  });
});

describe('several at once', () => {
  it('measures models, files and recipes, and prints one table', async () => {
    const file = join(exported, 'onnx', 'model_q4.onnx');
    const args = ['evaluate', model, file, ...short(), '--evaluator', 'perplexity,size'];
    const { results } = await json<{ results: Document[] }>(args);
    expect(results.map(({ model: name, artifact }) => [name, artifact])).toEqual([[model, undefined], [file, file]]);
    const { stdout } = await run(args);
    expect(stdout).toContain('Perplexity');
    expect(stdout).toMatch(/^model +\d/m);
    expect(stdout).toMatch(/^exported\/model_q4\.onnx +/m);
  });

  it('applies recipes without writing anything, and measures what compress would write', async () => {
    const before = await folderHashes(model);
    const args = ['evaluate', model, ...short(), '--recipe', 'rtn-w4', '--recipe', 'gptq-w4', '--set', 'gptq.groupSize=16', '--set', 'rtn.groupSize=16', '--calibration', text, '--calibration-samples', '4', '--calibration-length', '16', '--evaluator', 'perplexity,divergence,size'];
    const { results } = await json<{ results: Document[] }>(args);
    expect(results.map(({ recipe, metrics }) => [recipe?.name, 'klDivergence' in metrics])).toEqual([[undefined, false], ['rtn-w4', true], ['gptq-w4', true]]);
    expect(await folderHashes(model)).toEqual(before);
    expect(readdirSync(join(folder, 'cache', 'recipes'))).toEqual([]);

    const written = join(folder, 'written');
    await run(['compress', model, '--recipe', 'gptq-w4', '--set', 'gptq.groupSize=16', '--calibration', text, '--samples', '4', '--sequence-length', '16', '--output', written]);
    const measured = await json(['evaluate', written, ...short(), '--original', model, '--evaluator', 'perplexity,divergence,size']);
    const quality = ({ metrics }: Document): (readonly [string, number])[] => Object.entries(metrics).filter(([name]) => !['bytes', 'bitsPerWeight', 'compressionRatio'].includes(name));
    expect(quality(measured)).toEqual(quality(results[2]!));
    // A format stores a little more than the plan counts, such as the shapes of packed matrices.
    expect(measured.metrics['bytes']! / results[2]!.metrics['bytes']!).toBeCloseTo(1, 2);

    const again = await json<{ results: Document[] }>(args);
    expect(again.results.flatMap(({ evaluations }) => evaluations.map(({ evaluator, cached }) => `${evaluator} ${String(cached)}`))).toEqual([
      'perplexity true', 'size false',
      'perplexity true', 'divergence true', 'size false',
      'perplexity true', 'divergence true', 'size false',
    ]);
    expect(again.results.map(({ metrics }) => metrics)).toEqual(results.map(({ metrics }) => metrics));
  }, 60_000);
});

describe('exported files', () => {
  it('are named by path, by format or by precision', async () => {
    const chosen = async (...args: string[]): Promise<string | undefined> => (await json(['evaluate', ...args, '--evaluator', 'size'])).artifact;
    expect(await chosen(exported, '--artifact', 'onnx')).toBe(join(exported, 'onnx', 'model.onnx'));
    expect(await chosen(exported, '--artifact', 'q4')).toBe(join(exported, 'onnx', 'model_q4.onnx'));
    // There are no weights but those.
    expect(await chosen(exported)).toBe(join(exported, 'onnx', 'model.onnx'));
    expect(await chosen(join(exported, 'onnx', 'model_q4.onnx'))).toBe(join(exported, 'onnx', 'model_q4.onnx'));
  });

  it.each([
    ['an artefact that a folder lacks', () => [exported, '--artifact', 'q8'], 'PARE_ARTIFACT_UNKNOWN', /q4 \(model_q4\.onnx\)/],
    ['a file that no format opens', () => [text], 'PARE_ARTIFACT_UNKNOWN', /\*\.onnx/],
    ['an evaluator that reads weights', () => [join(exported, 'onnx', 'model.onnx'), '--evaluator', 'sparsity'], 'PARE_WEIGHTS_INACCESSIBLE', /sparsity/],
    ['a recipe for what is exported', () => [join(exported, 'onnx', 'model.onnx'), '--recipe', 'rtn-w4'], 'PARE_WEIGHTS_INACCESSIBLE', /a recipe/],
  ])('%s is refused', async (_, args, code, says) => {
    const { code: exit, stderr } = await run(['evaluate', ...args()]);
    expect([exit, stderr]).toEqual([2, expect.stringContaining(code)]);
    expect(stderr).toMatch(says);
  });
});
