/* Tensor trains of an embedding as large as GPT-2's, 50,257×768 in float32 (as many numbers are drawn from a seed): seconds and peak memory of the process, by rank. */
import { fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { createRandom, float32Tensor } from '@pare/core';
import { round, table } from './lib.mjs';

const [tokens, width] = [50257, 768];

/** Runs one rank in a process of its own, whose peak is its memory. */
async function measure(maxRank) {
  const child = fork(fileURLToPath(import.meta.url), ['measure', String(maxRank)], { execArgv: [] });
  return new Promise((resolve, reject) => {
    child.once('message', resolve);
    child.once('exit', (code) => reject(new Error(`the measuring process ended with ${String(code)}`)));
  });
}

if (process.argv[2] === 'measure') {
  const { tensorgpt, tensorGptOptions } = await import('@pare/technique-tensorgpt');
  const random = createRandom(1);
  const weight = float32Tensor([tokens, width]);
  for (let index = 0; index < weight.data.length; index++) weight.data[index] = random() + random() - 1;
  const info = { name: 'wte', kind: 'embedding', shape: [tokens, width], dtype: 'float32' };
  let form;
  let report;
  const module = {
    info,
    options: tensorGptOptions.parse({ maxRank: Number(process.argv[3]) }),
    weight: () => Promise.resolve(weight),
    form: () => Promise.resolve({ form: 'dense', shape: weight.shape, tensor: weight }),
    replace(made, told) {
      form = made;
      report = told;
      return Promise.resolve();
    },
  };
  const started = performance.now();
  const before = process.cpuUsage();
  await tensorgpt.apply({ modules: [module], signal: new AbortController().signal, progress: { report: () => undefined } });
  const seconds = (performance.now() - started) / 1000;
  const { user, system } = process.cpuUsage(before);
  const bytes = form.cores.reduce((sum, { data }) => sum + data.byteLength, 0);
  process.send({ seconds, processor: (user + system) / 1e6, bytes, error: report.details.meanRelativeError, peak: process.resourceUsage().maxRSS * 1024 }, () => process.disconnect());
} else {
  const rows = [[`${tokens}×${width} to 2^10`, 'seconds', 'processor s', 'peak MB', 'stored MB', 'times smaller', 'mean relative error']];
  for (const rank of [1, 2, 4]) {
    const { seconds, processor, bytes, peak, error } = await measure(rank);
    rows.push([`rank ${rank}`, round(seconds), round(processor), round(peak / 1e6), round(bytes / 1e6), round((tokens * width * 4) / bytes, 2), round(error, 3)]);
  }
  table(rows);
}
