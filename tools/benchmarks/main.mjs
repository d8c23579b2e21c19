/*
 * npm run bench [-- name …]: every benchmark but the long tables of methods and of distillation, or those named. Models and peers come from the environment:
 *   PARE_BENCH_MODEL, PARE_BENCH_CALIBRATION, PARE_BENCH_EVALUATION   a model folder and two texts (default: examples/)
 *   PARE_BENCH_PYTHON                                                 an interpreter with torch, transformers and llmcompressor for the peers
 */
import { existsSync } from 'node:fs';
import { machine, pare } from './lib.mjs';

const benchmarks = { startup: './startup.mjs', perplexity: './perplexity.mjs', gptq: './gptq.mjs', sparsegpt: './sparsegpt.mjs', wanda: './wanda.mjs', smoothquant: './smoothquant.mjs', depth: './depth.mjs', 'multiple-choice': './multiple-choice.mjs', webgpu: './webgpu.mjs', cuda: './cuda.mjs', 'cuda-blocks': './cuda-blocks.mjs', 'cuda-training': './cuda-training.mjs', svd: './svd.mjs', 'low-rank': './low-rank.mjs', tensorgpt: './tensorgpt.mjs', methods: './methods.mjs', distillation: './distillation.mjs', 'dependency-groups': './dependency-groups.mjs', training: './training.mjs' };
const asked = process.argv.slice(2);
const unknown = asked.filter((name) => !(name in benchmarks));
if (unknown.length > 0) {
  process.stderr.write(`unknown benchmark ${unknown.join(', ')}; there are ${Object.keys(benchmarks).join(', ')}\n`);
  process.exit(2);
}
if (!existsSync(pare)) {
  process.stderr.write('build first: npm run build\n');
  process.exit(2);
}
process.stdout.write(`${machine()}\n`);
for (const name of asked.length === 0 ? Object.keys(benchmarks).filter((name) => name !== 'methods' && name !== 'distillation') : asked) {
  process.stdout.write(`\n## ${name}\n\n`);
  await import(benchmarks[name]);
}
