/**
 * A compression in a process of its own, for killing. Arguments: model folder, output folder, `resume` or nothing. Says on standard output what it has
 * finished; pauses before each piece of work so that there is time to be killed in.
 */
import { writeSync } from 'node:fs';
import { setTimeout as pause } from 'node:timers/promises';
import { memoryText, probeTechnique, sampleText, startTestHost } from '../src/index.js';

const [model, output, resume] = process.argv.slice(2) as [string, string, string | undefined];

const onApply = async (): Promise<void> => {
  await pause(20);
};
const host = await startTestHost({ plugins: [probeTechnique({ onApply }), probeTechnique({ id: 'probe-again', accepts: ['quantized'], onApply })] });
for (const event of ['stage:start', 'module:done', 'block:done', 'format:start', 'format:done'] as const) {
  host.events.on(event, () => {
    writeSync(1, `${event}\n`);
    // Nothing awaits a listener: to be killed at this very point, stand still.
    if (event.startsWith('format')) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 300);
  });
}
const result = await host.compress({
  model,
  recipe: {
    version: 1,
    stages: [
      { technique: 'probe', options: { bits: 3 } },
      { technique: 'probe-again', options: { bits: 8 }, targets: { include: ['down_proj'] } },
    ],
  },
  calibration: { data: memoryText(sampleText(4000)), samples: 3, sequenceLength: 16 },
  output,
  formats: ['dump'],
  backend: 'reference',
  resume: resume === 'resume',
});
writeSync(1, `restored ${String(result.restoredBlocks)}\n`);
await host.close();
