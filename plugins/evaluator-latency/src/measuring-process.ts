import { OnnxDecoder } from '@pare/onnx-decoder';
import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import type * as OnnxRuntime from 'onnxruntime-node';
import type { Measured, MeasureReply, MeasureRequest } from './protocol.js';
import { runSchedule } from './schedule.js';
import { TimedDecoder } from './timed-decoder.js';

/* Entry of the measuring process: waits for one request, answers, and ends. */

function reply(message: MeasureReply): void {
  process.send?.(message);
}

async function measure({ path, provider, threads, vocabularySize, maxPositions, schedule }: MeasureRequest): Promise<Measured> {
  const runtime = createRequire(import.meta.url)('onnxruntime-node') as typeof OnnxRuntime;
  const clock = (): number => performance.now();
  const begin = clock();
  await using decoder = await OnnxDecoder.open(runtime, { file: path, provider, threads, vocabularySize, maxPositions });
  const loadMilliseconds = clock() - begin;
  const samples = await runSchedule(new TimedDecoder(decoder, schedule.batch), schedule, clock, (completed, total, detail) => {
    reply({ kind: 'progress', completed, total, detail });
  });
  return { samples, loadMilliseconds, peakMemoryBytes: await peakMemoryBytes(), runtimeVersion: runtime.env.versions.common };
}

/** On Linux from /proc, because `maxRSS` there is no less than that of the process that started this one. */
async function peakMemoryBytes(): Promise<number> {
  const status = await readFile('/proc/self/status', 'utf8').catch(() => '');
  const kibibytes = /^VmHWM:\s+(\d+) kB$/m.exec(status)?.[1];
  return 1024 * Number(kibibytes ?? process.resourceUsage().maxRSS);
}

process.once('message', (request: MeasureRequest) => {
  measure(request).then(
    (measured) => {
      process.send?.({ kind: 'done', measured } satisfies MeasureReply, () => process.exit(0));
    },
    (error: unknown) => {
      process.send?.({ kind: 'failed', reason: error instanceof Error ? error.message : String(error) } satisfies MeasureReply, () => process.exit(0));
    },
  );
});
// Ctrl-C reaches every process of the terminal; the one that asked decides and ends this one.
process.on('SIGINT', () => undefined);
// Nobody waits for the result any more.
process.once('disconnect', () => process.exit(1));
