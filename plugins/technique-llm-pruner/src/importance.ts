import { hostTensor, throwIfAborted, type Backend, type DeviceTensor, type Model } from '@pare/core';
import { parametersOf, parameterValues, readParameter } from '@pare/model';
import { crossEntropy, decoderSegments, DecoderGradients, loadParameters, nextTokenTargets } from '@pare/training';
import type { LlmPrunerOptions } from './options.js';

/** What importance is measured with. */
export interface Measurement {
  readonly model: Model;
  readonly backend: Backend;
  readonly windows: readonly Int32Array[];
  readonly options: LlmPrunerOptions;
  readonly signal: AbortSignal;
}

/** Receives, for each tensor (matrices [out, in]), what each of its weights contributes. Called once a tensor, or once a tensor and sample. */
export type Receiver = (tensor: string, shape: readonly number[], contribution: (index: number) => number) => void;

/** True for importances that need the loss on calibration text. */
export function needsGradients({ importance }: Pick<LlmPrunerOptions, 'importance'>): boolean {
  return importance !== 'l1' && importance !== 'l2' && importance !== 'random';
}

/**
 * Hands out what the weights of some tensors are worth (LLM-Pruner, arXiv 2305.11627, §3.2). With g the gradient of the mean loss, g_n that of sample n, F = Σ_n g_n² / N (diagonal
 * of the Fisher information):
 *
 *     element, vector   g·w                 the change of the loss when w is zeroed, to first order
 *     element-second    w²·F                collected sample by sample: (g_n·w)² / N
 *     mixed             g·w − w²·F / 2
 *     l1, l2            |w|, w²
 *
 * Gradients come block by block, from the last to the first, and are dropped when they were counted; `mixed` keeps F, a number a weight, until its second pass.
 */
export async function measure(measurement: Measurement, tensors: ReadonlySet<string>, receive: Receiver): Promise<void> {
  const { importance } = measurement.options;
  if (!needsGradients(measurement.options)) return ofWeights(measurement, tensors, receive);
  const { windows } = measurement;
  if (importance === 'element' || importance === 'vector') {
    await ofGradients(measurement, windows, tensors, (tensor, shape, weight, gradient) => receive(tensor, shape, (index) => gradient[index]! * weight[index]!));
    return;
  }
  const fisher = new Map<string, Float32Array>();
  for (const window of windows) {
    await ofGradients(measurement, [window], tensors, (tensor, shape, weight, gradient) => {
      if (importance === 'element-second') receive(tensor, shape, (index) => (gradient[index]! * weight[index]!) ** 2 / windows.length);
      else {
        const sums = fisher.get(tensor) ?? new Float32Array(gradient.length);
        fisher.set(tensor, sums);
        for (let index = 0; index < sums.length; index++) sums[index]! += gradient[index]! ** 2 / windows.length;
      }
    });
  }
  if (importance === 'element-second') return;
  await ofGradients(measurement, windows, tensors, (tensor, shape, weight, gradient) => {
    const own = fisher.get(tensor)!;
    receive(tensor, shape, (index) => gradient[index]! * weight[index]! - 0.5 * weight[index]! ** 2 * own[index]!);
  });
}

async function ofWeights({ model, options, signal }: Measurement, tensors: ReadonlySet<string>, receive: Receiver): Promise<void> {
  for (const parameter of parametersOf(model)) {
    if (!tensors.has(parameter.name)) continue;
    throwIfAborted(signal, 'LLM-Pruner');
    const { shape, data } = parameterValues(await readParameter(model, parameter));
    receive(parameter.name, shape, options.importance === 'l1' ? (index) => Math.abs(data[index]!) : (index) => data[index]! ** 2);
  }
}

type GradientReceiver = (tensor: string, shape: readonly number[], weight: Float32Array, gradient: Float32Array) => void;

/** Gradients of the mean next-token loss over some windows. One block's are held at a time. */
async function ofGradients({ model, backend, signal }: Measurement, windows: readonly Int32Array[], tensors: ReadonlySet<string>, receive: GradientReceiver): Promise<void> {
  const segments = decoderSegments({ description: model.description, experts: 'all', loss: crossEntropy });
  const parameters = await loadParameters(backend, model, segments);
  try {
    await using gradients = new DecoderGradients({ backend, segments, parameters, trainable: tensors, recompute: true, signal });
    const [first] = windows as [Int32Array];
    const ids = hostTensor('int64', [windows.length, first.length], BigInt64Array.from(windows.flatMap((window) => Array.from(window, BigInt))));
    await gradients.backward({ ids, inputs: { ...nextTokenTargets(windows) } }, async (complete) => {
      for (const [tensor, gradient] of complete) {
        using owned: DeviceTensor = gradient;
        const weight = (await backend.read(parameters.get(tensor)!)).data as Float32Array;
        receive(tensor, owned.shape, weight, (await backend.read(owned)).data as Float32Array);
      }
    });
  } finally {
    for (const tensor of parameters.values()) tensor[Symbol.dispose]();
  }
}
