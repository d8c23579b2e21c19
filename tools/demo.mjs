// npm run demo: the whole path on a small model. Installs and builds when needed, measures, compresses to 4 bits, measures again, and lets
// transformers.js write with the result. Works in a fresh clone with Node and npm alone.
import { rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import { basename, dirname, join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { build, capture, install, requireNode, root, step } from './steps.mjs';

// Relative to the root of the repository, where the commands run.
const model = 'examples/models/tales-7m';
const calibration = 'examples/data/tales-calibration.txt';
const evaluation = 'examples/data/tales-evaluation.txt';
const output = 'out/tales-7m-gptq-w4';
const prompt = 'Once upon a time';

const command = join(root, 'apps/cli/dist/main.js');

/** Runs the command, tells how one would type it, and returns its JSON document. */
async function pare(...args) {
  console.log(`\n$ pare ${args.join(' ')}`);
  return JSON.parse(await capture(process.execPath, [command, ...args, '--json']));
}

/** A sentence by transformers.js from the ONNX files of a folder. */
async function generate(folder) {
  const require = createRequire(join(root, 'plugins/format-onnx/package.json'));
  const { env, pipeline } = await import(pathToFileURL(require.resolve('@huggingface/transformers')).href);
  env.allowRemoteModels = false;
  env.localModelPath = dirname(folder);
  const generator = await pipeline('text-generation', basename(folder), { dtype: 'q4' });
  const [{ generated_text: text }] = await generator(prompt, { max_new_tokens: 60, do_sample: false, repetition_penalty: 1.3 });
  await generator.dispose();
  // Up to the last sentence that was finished.
  return text.slice(0, text.lastIndexOf('.') + 1) || text;
}

function table(rows) {
  const widths = rows[0].map((_, column) => Math.max(...rows.map((row) => row[column].length)));
  return rows.map((row) => row.map((cell, column) => (column === 0 ? cell.padEnd(widths[column]) : cell.padStart(widths[column]))).join('   ')).join('\n');
}

requireNode();
if ((await install()) !== 0 || (await step('build', build)) !== 0) process.exit(1);
rmSync(join(root, output), { recursive: true, force: true });

const measure = ['--data', evaluation, '--evaluator', 'perplexity,size', '--samples', '64', '--sequence-length', '512'];
const before = await pare('evaluate', model, '--no-cache', ...measure);
const compressed = await pare(
  ...['compress', model, '--recipe', 'gptq-w4', '--set', 'gptq.groupSize=64'],
  ...['--calibration', calibration, '--samples', '64', '--sequence-length', '512'],
  ...['--format', 'hf,onnx', '--output', output],
);
const after = await pare('evaluate', output, '--no-cache', ...measure);

const megabytes = (bytes) => (bytes / 1e6).toFixed(1);
const row = (name, metric, format) => [name, format(before.metrics[metric]), format(after.metrics[metric])];
console.log(
  `\n${table([
    ['', 'before', 'after'],
    row('perplexity', 'perplexity', (value) => value.toFixed(2)),
    row('weights, MB', 'bytes', megabytes),
    row('bits per weight', 'bitsPerWeight', (value) => value.toFixed(2)),
    ['seconds', '', compressed.seconds.toFixed(1)],
    ['peak memory, MB', '', megabytes(compressed.peakMemoryBytes)],
  ])}`,
);

console.log(`\ntransformers.js, dtype q4:\n  ${(await generate(join(root, output))).replaceAll('\n', '\n  ')}`);

console.log(`\n${output} opens with\n  Hugging Face transformers      model.safetensors (compressed-tensors, pack-quantized)\n  transformers.js, onnxruntime   onnx/*.onnx`);
