/* SVD-LLM beside plain SVD at equal size: perplexity and bits a weight of what they make of the model, and what that takes. PARE_BENCH_WINDOWS (64) windows of 512 tokens, for calibration and evaluation. */
import { inputs, megabytes, round, runPare, table } from './lib.mjs';

const { model, calibration, evaluation } = inputs();
const windows = process.env['PARE_BENCH_WINDOWS'] ?? '64';
const rows = [['', 'perplexity', 'bits per weight', 'seconds, whole command', 'processor seconds', 'peak resident']];
for (const ratio of [0.8, 0.5]) {
  for (const technique of ['svd-llm', 'svd']) {
    const { document, seconds, processor, peakBytes } = await runPare([
      ...['evaluate', model, '--recipe', `${technique}-80`, '--set', `${technique}.ratio=${ratio}`],
      ...['--calibration', calibration, '--calibration-samples', windows, '--calibration-length', '512'],
      ...['--no-cache', '--evaluator', 'perplexity,size', '--data', evaluation, '--samples', windows, '--sequence-length', '512'],
    ]);
    const [before, after] = document.results.map(({ metrics }) => [round(metrics.perplexity, 3), round(metrics.bitsPerWeight, 2)]);
    if (rows.length === 1) rows.push(['uncompressed', ...before, '', '', '']);
    rows.push([`${technique}, ratio ${ratio}`, ...after, round(seconds, 1), round(processor, 0), megabytes(peakBytes)]);
    process.stderr.write(`${rows.at(-1).join(' | ')}\n`);
  }
}
table(rows);
