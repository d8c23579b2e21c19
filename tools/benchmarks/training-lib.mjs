/* What the benchmarks of training share: the seconds of a step over every parameter of a model. */
import { llamaArchitecture } from '@pare/architecture-llama';
import { openModel } from '@pare/model';
import { adamW, crossEntropy, decoderSegments, loadParameters, schedule, train, TrainingOrder, windowBatches } from '@pare/training';

/** Median of numbers. */
export const median = (values) => [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)];

/**
 * Median seconds and processor seconds of a step of AdamW with clipping on `windows` texts of `length` tokens, behind `warmup` steps, and the largest number of bytes of tensors on the backend.
 * The backend is the caller's.
 */
export async function trainingSteps(backend, directory, { windows, length, steps, warmup, recompute, microBatch }) {
  const model = await openModel(directory, { architectures: [llamaArchitecture] });
  const segments = decoderSegments({ description: model.description, experts: 'all', loss: crossEntropy });
  const parameters = await loadParameters(backend, model, segments);
  const texts = Array.from({ length: windows }, (_, window) => ({ ids: Int32Array.from({ length }, (_token, position) => (window * 977 + position * 31) % 4000), mask: new Uint8Array(length).fill(1) }));
  const [seconds, processor] = [[], []];
  let before = process.cpuUsage();
  await train({
    backend,
    segments,
    parameters,
    trainable: new Set(parameters.keys()),
    steps: steps + warmup,
    batches: windowBatches({ windows: texts, order: new TrainingOrder({ count: windows, order: 'given', seed: 1 }), batchSize: windows, microBatch }),
    optimizer: adamW({ weightDecay: 0.01 }),
    schedule: schedule({ rate: 1e-4, warmup: 2, steps: steps + warmup }),
    clipNorm: 1,
    recompute,
    onStep: (report) => {
      const used = process.cpuUsage(before);
      before = process.cpuUsage();
      if (report.step <= warmup) return;
      seconds.push(report.seconds);
      processor.push((used.user + used.system) / 1e6);
    },
  });
  for (const tensor of parameters.values()) tensor[Symbol.dispose]();
  await model[Symbol.asyncDispose]();
  return { seconds: median(seconds), processor: median(processor), peakBytes: backend.memory().peakBytes };
}
