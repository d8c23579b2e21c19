/* Tokens per second of the perplexity evaluator in float32 against transformers and torch on the same windows. */
import { inputs, round, runPare, runPeer, table } from './lib.mjs';

const { model, evaluation } = inputs();
const windows = Number(process.env['PARE_BENCH_WINDOWS'] ?? 64);
const ours = await runPare(['evaluate', model, '--no-cache', '--evaluator', 'perplexity', '--data', evaluation, '--samples', String(windows), '--sequence-length', '512']);
const peer = await runPeer('transformers_perplexity.py', [model, evaluation, String(windows), '512']);
const oursRate = (windows * 512) / ours.seconds;
const rows = [
  ['', 'perplexity', 'tokens/s', 'processor seconds', 'peak resident'],
  ['pare evaluate (whole process)', round(ours.document.metrics.perplexity, 4), round(oursRate, 0), round(ours.processor, 0), `${round(ours.peakBytes / 1e6, 0)} MB`],
];
if (peer !== undefined) {
  rows.push(['transformers + torch (forward passes only)', round(peer.document.perplexity, 4), round(peer.document.tokens_per_second, 0), round(peer.document.processor_seconds, 0), `${round(peer.peakBytes / 1e6, 0)} MB`]);
  rows.push(['ratio', round(ours.document.metrics.perplexity / peer.document.perplexity, 5), round(oursRate / peer.document.tokens_per_second), round(ours.processor / peer.document.processor_seconds), round(ours.peakBytes / peer.peakBytes)]);
}
table(rows);
if (peer === undefined) process.stdout.write('Set PARE_BENCH_PYTHON to an interpreter with torch and transformers for the comparison.\n');
