/*
 * Every method with its usual settings on one model: perplexity, bytes, seconds, memory. Writes the model's table to docs/methods.md, and keeps each row in bench-results/ as
 * soon as it is measured: a run that was stopped goes on from there.
 *   PARE_BENCH_MODEL, PARE_BENCH_CALIBRATION, PARE_BENCH_EVALUATION   as for the other benchmarks
 *   PARE_BENCH_METHODS                                               names of rows to measure, all by default: gptq-w4,wanda-50
 */
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { tmpdir } from 'node:os';
import { inputs, machine, markdownTable, root, round, runPare, writeBetween } from './lib.mjs';
import { methods } from './method-rows.mjs';

const window = ['--samples', '64', '--sequence-length', '512'];
const { model, calibration, evaluation } = inputs();
const name = basename(model);
const keptFile = join(root, 'bench-results', `methods-${name}.json`);
const kept = existsSync(keptFile) ? JSON.parse(readFileSync(keptFile, 'utf8')) : {};
const asked = process.env['PARE_BENCH_METHODS']?.split(',');
const unknown = (asked ?? []).filter((wanted) => !methods.some((method) => method.name === wanted));
if (unknown.length > 0) throw new Error(`no method is called ${unknown.join(', ')}; there are ${methods.map((method) => method.name).join(', ')}`);

/** Compresses and evaluates; returns the numbers of a row. */
async function measure({ stages, settings = [] }) {
  const folder = mkdtempSync(join(tmpdir(), 'pare-bench-'));
  try {
    const recipe = join(folder, 'recipe.json');
    writeFileSync(recipe, JSON.stringify({ version: 1, stages }));
    const output = join(folder, 'out');
    const words = [model, '--recipe', recipe, ...settings.flatMap((set) => ['--set', set]), '--calibration', calibration, ...window, '--format', 'hf'];
    // Of the plan: products that are written multiplied out are larger in the folder than they are.
    const { document: plan } = await runPare(['plan', ...words]);
    const made = await runPare(['compress', ...words, '--output', output]);
    const evaluated = await runPare(['evaluate', output, '--no-cache', '--evaluator', 'perplexity', '--data', evaluation, ...window]);
    return {
      perplexity: evaluated.document.metrics.perplexity,
      bytes: plan.outputBytes,
      bitsPerWeight: plan.bitsPerWeight,
      seconds: made.document.stages.reduce((sum, { seconds }) => sum + seconds, 0),
      processor: made.processor,
      peakBytes: made.peakBytes,
    };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** The model as it is. */
async function measureOriginal() {
  const { document } = await runPare(['evaluate', model, '--no-cache', '--evaluator', 'perplexity,size', '--data', evaluation, ...window]);
  const { perplexity, bytes, bitsPerWeight } = document.metrics;
  return { perplexity, bytes, bitsPerWeight };
}

function keep() {
  mkdirSync(join(root, 'bench-results'), { recursive: true });
  writeFileSync(keptFile, JSON.stringify(kept, undefined, 2));
}

/** What measures here, and when. */
async function measuredBy() {
  const { document: backends } = await runPare(['backends']);
  const backend = backends.find(({ chosen }) => chosen);
  return [machine(), ...(backend.id === 'cpu' ? [] : [`backend ${backend.id} on ${backend.device.name}`]), new Date().toISOString().slice(0, 10)].join(', ');
}

kept.original ??= await measureOriginal();
keep();
const open = methods.filter(({ name: row }) => kept[row] === undefined && (asked === undefined || asked.includes(row)));
const here = open.length > 0 ? await measuredBy() : undefined;
for (const method of open) {
  process.stdout.write(`${method.name} … `);
  kept[method.name] = { ...(await measure(method)), machine: here };
  keep();
  process.stdout.write(`${round(kept[method.name].perplexity, 3)}\n`);
}

const measured = methods.filter((method) => kept[method.name] !== undefined);
const machines = [...new Set(measured.map((method) => kept[method.name].machine))];
/** Which of several machines a row was measured on. */
const mark = (text) => (machines.length > 1 ? ` [${machines.indexOf(text) + 1}]` : '');
const cells = ({ perplexity, bytes, bitsPerWeight, seconds, processor, peakBytes, machine: text }) => [
  round(perplexity, 2),
  round(bytes / 1e6, 1),
  round(bitsPerWeight, 2),
  ...(seconds === undefined ? ['', '', ''] : [`${round(seconds, 1)}${mark(text)}`, round(processor, 0), round(peakBytes / 1e6, 0)]),
];
const rows = [
  ['method', 'setting', 'perplexity', 'weights MB', 'bits per weight', 'seconds', 'processor s', 'peak MB'],
  ['none', '', ...cells(kept.original)],
  ...measured.map((method) => [method.method, method.setting, ...cells(kept[method.name])]),
];
const text = markdownTable(rows);
process.stdout.write(`${text}\n`);
writeBetween('docs/methods.md', name, `${machines.map((text) => `${text}${mark(text)}`).join('; ')}\n\n${text}`);
