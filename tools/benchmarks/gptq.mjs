/* GPTQ W4, group 64, symmetric, act-order with static groups: seconds, peak memory and perplexity against llm-compressor on the same tokens. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { inputs, megabytes, round, runPare, runPeer, table } from './lib.mjs';

const { model, calibration, evaluation } = inputs();
const folder = mkdtempSync(join(tmpdir(), 'pare-bench-'));
try {
  const output = join(folder, 'out');
  const ours = await runPare([
    ...['compress', model, '--recipe', 'gptq-w4', '--set', 'gptq.groupSize=64', '--calibration', calibration],
    ...['--samples', '64', '--sequence-length', '512', '--output', output, '--format', 'hf,onnx'],
  ]);
  const evaluated = await runPare(['evaluate', output, '--no-cache', '--evaluator', 'perplexity', '--data', evaluation, '--samples', '64', '--sequence-length', '512']);
  const stage = ours.document.stages.reduce((sum, { seconds }) => sum + seconds, 0);
  const rows = [
    ['', 'seconds, whole command', 'seconds, calibration and solving', 'processor seconds', 'peak resident', 'perplexity'],
    ['pare', round(ours.seconds, 1), round(stage, 1), round(ours.processor, 0), megabytes(ours.peakBytes), round(evaluated.document.metrics.perplexity, 3)],
  ];
  const peer = await runPeer('llmcompressor_cpu.py', [model, calibration, evaluation, 'gptq-w4', '64', '512']);
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
