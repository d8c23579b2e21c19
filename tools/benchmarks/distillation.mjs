/*
 * Every method that trains a student on a teacher: tales-7m teaches tales-1m, which has never seen a question, to answer those of the reasoning set. Accuracy, perplexity of other text, divergence to
 * the teacher, seconds; a row for each method and seed, kept in bench-results/ as soon as it is measured: a run that was stopped goes on from there. Writes the table of docs/distillation.md.
 *   PARE_BENCH_SEEDS     seeds to measure: 0,1,2 (the default)
 *   PARE_BENCH_METHODS   names of rows to measure, all by default: label-only,step-by-step
 *   PARE_BENCH_STEPS     steps of each training instead of those of the table; kept apart and not written to the document
 */
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { distillingMethods, questions } from './distillation-rows.mjs';
import { machine, markdownTable, root, round, runPare, writeBetween } from './lib.mjs';

const example = (...parts) => join(root, 'examples', ...parts);
const [student, teacher] = [example('models/tales-1m'), example('models/tales-7m')];
const items = readFileSync(example('data/reasoning-train.jsonl'), 'utf8').trim().split('\n').slice(0, questions);
const window = ['--sequence-length', '512', '--samples', '64'];
const methods = distillingMethods(teacher);

const list = (name, otherwise) => process.env[name]?.split(',') ?? otherwise;
const seeds = list('PARE_BENCH_SEEDS', ['0', '1', '2']).map(Number);
const asked = list('PARE_BENCH_METHODS', methods.map(({ name }) => name));
const steps = process.env['PARE_BENCH_STEPS'] === undefined ? undefined : Number(process.env['PARE_BENCH_STEPS']);
const unknown = asked.filter((wanted) => !methods.some(({ name }) => name === wanted));
if (unknown.length > 0) throw new Error(`no method is called ${unknown.join(', ')}; there are ${methods.map(({ name }) => name).join(', ')}`);

const keptFile = join(root, 'bench-results', `distillation${steps === undefined ? '' : `-${steps}`}.json`);
const kept = existsSync(keptFile) ? JSON.parse(readFileSync(keptFile, 'utf8')) : { rows: {} };
/** Rows of another process that measures at the same time stay. */
const keep = () => {
  mkdirSync(join(root, 'bench-results'), { recursive: true });
  if (existsSync(keptFile)) kept.rows = { ...JSON.parse(readFileSync(keptFile, 'utf8')).rows, ...kept.rows };
  writeFileSync(keptFile, JSON.stringify(kept, undefined, 2));
};

/** Accuracy on the questions, perplexity of other text, and divergence to the teacher on it. */
async function evaluate(model) {
  const common = ['evaluate', model, '--no-cache'];
  const { document: answers } = await runPare([...common, '--evaluator', 'multiple-choice', '--items', example('data/reasoning-evaluation.jsonl')]);
  const { document: text } = await runPare([...common, '--evaluator', 'perplexity,divergence', '--original', teacher, '--data', example('data/tales-evaluation.txt'), ...window]);
  const { perplexity, klDivergence } = text.metrics;
  return { accuracy: answers.metrics.accuracy, perplexity, klDivergence };
}

/** Trains and evaluates. */
async function measure({ technique, options, text = false, stories = false }, seed) {
  const folder = mkdtempSync(join(tmpdir(), 'pare-bench-'));
  try {
    const recipe = join(folder, 'recipe.json');
    writeFileSync(recipe, JSON.stringify({ version: 1, stages: [{ technique, options: { ...options, ...(steps !== undefined && { steps }) } }] }));
    const output = join(folder, 'out');
    const file = lessonFile(folder, text);
    const lessons = text ? ['--calibration', file, '--sequence-length', '64', '--samples', '700'] : ['--prompts', file];
    if (stories) lessons.push('--calibration', example('data/tales-calibration.txt'), '--sequence-length', '128', '--samples', '512');
    const made = await runPare(['compress', student, '--recipe', recipe, ...lessons, '--seed', String(seed), '--output', output, '--evaluator', 'size']);
    const seconds = made.document.stages.reduce((sum, stage) => sum + stage.seconds, 0);
    return { ...(await evaluate(output)), seconds, processor: made.processor };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** A file of the questions: as they are, or with their answers as running text. */
function lessonFile(folder, text) {
  const file = join(folder, 'questions.jsonl');
  const asText = (line) => {
    const { question, answer } = JSON.parse(line);
    return JSON.stringify({ text: `Question: ${question}\nAnswer: ${answer}` });
  };
  writeFileSync(file, (text ? items.map(asText) : items).join('\n'));
  return file;
}

kept.student ??= await evaluate(student);
kept.teacher ??= await evaluate(teacher);
keep();
const { document: plugins } = await runPare(['plugins']);
const there = new Set(plugins.map(({ id }) => id));
for (const seed of seeds) {
  for (const method of methods) {
    const row = `${method.name} ${seed}`;
    if (!asked.includes(method.name) || !there.has(method.technique) || kept.rows[row] !== undefined) continue;
    process.stdout.write(`${row} … `);
    kept.rows[row] = await measure(method, seed);
    kept.machine = `${machine()}, ${new Date().toISOString().slice(0, 10)}`;
    keep();
    process.stdout.write(`accuracy ${round(kept.rows[row].accuracy, 3)}, perplexity ${round(kept.rows[row].perplexity, 2)}, divergence ${round(kept.rows[row].klDivergence, 3)}, ${round(kept.rows[row].seconds, 0)} s\n`);
  }
}

/** Mean, and the spread of several: 0.71 ± 0.02. */
function cell(values, digits) {
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
  if (values.length === 1) return round(mean, digits);
  const deviation = Math.sqrt(values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / (values.length - 1));
  return `${round(mean, digits)} ± ${round(deviation, digits)}`;
}

const numbers = (rows) => [cell(rows.map(({ accuracy }) => accuracy), 3), cell(rows.map(({ perplexity }) => perplexity), 2), cell(rows.map(({ klDivergence }) => klDivergence), 3)];
const times = (rows) => [cell(rows.map(({ seconds }) => seconds), 0), cell(rows.map(({ processor }) => processor), 0)];
const measured = methods.map((method) => ({ ...method, rows: Object.entries(kept.rows).filter(([row]) => row.split(' ')[0] === method.name).map(([, row]) => row) })).filter(({ rows }) => rows.length > 0);
const text = markdownTable([
  ['method', 'setting', 'seeds', 'accuracy', 'perplexity', 'divergence', 'seconds', 'processor s'],
  ['teacher', 'tales-7m', '', ...numbers([kept.teacher]), '', ''],
  ['student before', 'tales-1m', '', ...numbers([kept.student]), '', ''],
  ...measured.map(({ method, setting, rows }) => [method, setting, rows.length, ...numbers(rows), ...times(rows)]),
]);
process.stdout.write(`${text}\n`);
if (steps === undefined) writeBetween('docs/distillation.md', 'distillation', `${kept.machine}\n\n${text}`);
