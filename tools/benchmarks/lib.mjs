/* What the benchmarks share: running a command and watching its memory from outside, and printing comparisons. Plain Node, no dependencies. */
import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { cpus, tmpdir } from 'node:os';
import { fileURLToPath } from 'node:url';

export const root = resolve(dirname(fileURLToPath(import.meta.url)), '../..');
export const pare = join(root, 'apps/cli/dist/main.js');

/** Largest resident set of a process so far, in bytes, from the kernel's own account (Linux); undefined elsewhere or when it is gone. */
function residentPeak(pid) {
  try {
    const line = readFileSync(`/proc/${pid}/status`, 'utf8').match(/VmHWM:\s+(\d+) kB/);
    return line === null ? undefined : Number(line[1]) * 1024;
  } catch {
    return undefined;
  }
}

/** Processor seconds a process has used so far, all threads, user and system (Linux; clock ticks are 1/100 s there); undefined elsewhere or when it is gone. */
function processorSeconds(pid) {
  try {
    const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1].split(' ');
    return (Number(fields[11]) + Number(fields[12])) / 100;
  } catch {
    return undefined;
  }
}

/**
 * Runs a command to its end. Resolves with standard output, wall and processor seconds, and the peak resident bytes seen by sampling the kernel's high-water
 * mark. Processor seconds compare programs fairly on a machine that others use too.
 * @throws when the command fails; the message carries its standard error.
 */
export function measure(command, args, { env = {}, quiet = true } = {}) {
  return new Promise((done, fail) => {
    const started = process.hrtime.bigint();
    const child = spawn(command, args, { cwd: root, env: { ...process.env, ...env }, stdio: ['ignore', 'pipe', quiet ? 'pipe' : 'inherit'] });
    let stdout = '';
    let stderr = '';
    let peakBytes = 0;
    let processor = 0;
    const sample = () => {
      peakBytes = Math.max(peakBytes, residentPeak(child.pid) ?? 0);
      processor = Math.max(processor, processorSeconds(child.pid) ?? 0);
    };
    const timer = setInterval(sample, 100);
    child.stdout.on('data', (chunk) => {
      stdout += chunk;
      sample();
    });
    child.stderr?.on('data', (chunk) => {
      stderr += chunk;
    });
    child.on('error', fail);
    child.on('close', (code) => {
      clearInterval(timer);
      const seconds = Number(process.hrtime.bigint() - started) / 1e9;
      if (code === 0) done({ stdout, stderr, seconds, processor, peakBytes });
      else fail(new Error(`${command} ${args.join(' ')}\nended with ${code}\n${stderr.slice(-4000)}`));
    });
  });
}

/** Runs `pare … --json` and returns its document with the measured wall seconds and peak bytes. */
export async function runPare(args) {
  const result = await measure(process.execPath, [pare, ...args, '--json']);
  return { ...result, document: JSON.parse(result.stdout) };
}

/** Runs a Python peer and parses its last line as JSON; undefined when no interpreter is given. */
export async function runPeer(script, args) {
  const python = process.env['PARE_BENCH_PYTHON'];
  if (python === undefined) return undefined;
  const result = await measure(python, [join(root, 'tools/benchmarks/peers', script), ...args]);
  return { ...result, document: JSON.parse(result.stdout.trim().split('\n').at(-1)) };
}

/** Model and texts: those named by the environment, else the ones in the repository. */
export function inputs() {
  const model = process.env['PARE_BENCH_MODEL'] ?? join(root, 'examples/models/tales-7m');
  const calibration = process.env['PARE_BENCH_CALIBRATION'] ?? join(root, 'examples/data/tales-calibration.txt');
  const evaluation = process.env['PARE_BENCH_EVALUATION'] ?? join(root, 'examples/data/tales-evaluation.txt');
  for (const path of [model, calibration, evaluation]) if (!existsSync(path)) throw new Error(`${path} does not exist`);
  return { model, calibration, evaluation };
}

/**
 * Compresses and evaluates with `pare` and, when an interpreter is given, with llm-compressor on the same tokens, and prints both: seconds, processor seconds,
 * peak memory and perplexity over 64 windows of 512 tokens.
 * @param settings words for `pare compress` after the recipe
 */
export async function compareWithPeer(recipe, peerMethod, settings = [], format = 'hf') {
  const { model, calibration, evaluation } = inputs();
  const folder = mkdtempSync(join(tmpdir(), 'pare-bench-'));
  try {
    const output = join(folder, 'out');
    const ours = await runPare([
      ...['compress', model, '--recipe', recipe, ...settings, '--calibration', calibration],
      ...['--samples', '64', '--sequence-length', '512', '--output', output, '--format', format],
    ]);
    const evaluated = await runPare(['evaluate', output, '--no-cache', '--evaluator', 'perplexity', '--data', evaluation, '--samples', '64', '--sequence-length', '512']);
    const stage = ours.document.stages.reduce((sum, { seconds }) => sum + seconds, 0);
    const rows = [
      ['', 'seconds, whole command', 'seconds, calibration and solving', 'processor seconds', 'peak resident', 'perplexity'],
      ['pare', round(ours.seconds, 1), round(stage, 1), round(ours.processor, 0), megabytes(ours.peakBytes), round(evaluated.document.metrics.perplexity, 3)],
    ];
    const peer = await runPeer('llmcompressor_cpu.py', [model, calibration, evaluation, peerMethod, '64', '512']);
    if (peer !== undefined) {
      const { seconds, processor_seconds: compression, peak_rss_mb: peak, perplexity } = peer.document;
      rows.push(['llm-compressor', round(peer.seconds, 1) + ' (with evaluation)', round(seconds, 1), round(compression, 0), megabytes(peak * 1024 * 1024), round(perplexity, 3)]);
      rows.push(['ratio', '', `${round(seconds / stage)}× faster`, `${round(compression / ours.processor)}× fewer`, round(ours.peakBytes / (peak * 1024 * 1024)), round(evaluated.document.metrics.perplexity / perplexity, 4)]);
      rows.push(['ratio, our whole command against its oneshot()', `${round(seconds / ours.seconds)}× faster`, '', '', '', '']);
    }
    table(rows);
    if (peer === undefined) process.stdout.write('Set PARE_BENCH_PYTHON to an interpreter with llmcompressor for the comparison.\n');
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

export const megabytes = (bytes) => `${(bytes / 1e6).toFixed(0)} MB`;
export const round = (value, digits = 2) => Number(value).toFixed(digits);

/** A Markdown table with a header row, cells padded to their column. */
export function markdownTable(rows) {
  const widths = rows[0].map((_, column) => Math.max(...rows.map((row) => String(row[column]).length)));
  const lines = rows.map((row) => `| ${row.map((cell, column) => String(cell).padEnd(widths[column])).join(' | ')} |`);
  lines.splice(1, 0, `|${widths.map((width) => '-'.repeat(width + 2)).join('|')}|`);
  return lines.join('\n');
}

/** Puts a text where a page of the repository has it: between the comments `<!-- name -->` and `<!-- /name -->`. @throws when the page has no such place */
export function writeBetween(page, name, text) {
  const file = join(root, page);
  const [start, end] = [`<!-- ${name} -->`, `<!-- /${name} -->`];
  const before = readFileSync(file, 'utf8');
  if (!before.includes(start) || !before.includes(end)) throw new Error(`${page} has no place ${start} … ${end}`);
  const [head, rest] = before.split(start);
  writeFileSync(file, `${head}${start}\n${text}\n${end}${rest.split(end)[1]}`);
  process.stdout.write(`written to ${page}\n`);
}

/** Prints a table with a header row. */
export function table(rows) {
  process.stdout.write(`${markdownTable(rows)}\n`);
}

export function machine() {
  const [first] = cpus();
  return `${cpus().length} × ${first?.model ?? 'unknown processor'}, Node ${process.versions.node}`;
}

/** A logger that says nothing. */
export const silent = { debug() {}, info() {}, warn() {}, error() {} };

/** Lends a resource to `work` and disposes it, as `await using` does where Node knows it. */
export async function withResource(resource, work) {
  try {
    return await work(resource);
  } finally {
    await (resource[Symbol.asyncDispose] ?? resource[Symbol.dispose]).call(resource);
  }
}
