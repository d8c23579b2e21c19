import {
  apiVersion,
  defineTechnique,
  elementCount,
  float32Tensor,
  modelOpenerRef,
  pareError,
  pluginError,
  type Backend,
  type DeviceTensor,
  type Model,
  type ModelOpener,
  type ServiceRef,
  type TargetModule,
  type Technique,
  type TechniqueContext,
} from '@pare/core';
import { expertModeOn } from '@pare/model';
import {
  adamW,
  adapterNames,
  createAdapterParameters,
  DecoderGradients,
  decoderSegments,
  distillation,
  loadParameters,
  logitsOnly,
  lora,
  mergeAdapter,
  schedule,
  train,
  TrainingOrder,
  windowBatches,
  type Adapter,
  type Batch,
} from '@pare/training';
import { denseWeight } from '@pare/weights';
import { distillLogitsOptions, type DistillLogitsOptions } from './options.js';

interface Services {
  readonly models: ServiceRef<ModelOpener>;
  readonly [name: string]: ServiceRef<unknown>;
}

type Context = TechniqueContext<DistillLogitsOptions, Services>;

/**
 * Knowledge distillation with soft labels (Hinton et al. 2015, arXiv 1503.02531): the student is trained to predict, at every position of a text, the distribution that the teacher
 * predicts there. Teacher and student compute side by side on the backend; logits are never stored.
 */
export const distillLogits: Technique<DistillLogitsOptions, Services> = defineTechnique<DistillLogitsOptions, Services>({
  id: 'distill-logits',
  api: apiVersion,
  title: 'Logit distillation',
  summary: 'Trains the model to predict what a teacher predicts on the calibration text, with soft labels and a temperature.',
  family: 'distillation',
  scope: 'training',
  paper: 'arXiv:1503.02531',
  options: distillLogitsOptions,
  deps: { models: modelOpenerRef },
  accepts: ['dense'],
  produces: ['dense'],
  adjusts: true,
  plan(targets, { parameters }) {
    const options = sharedOptions(targets);
    const weights = targets.reduce((sum, { info }) => sum + elementCount(info.shape), 0);
    // Forward of both, backward and the second forward of the student: about 2 + 2 + 4 + 2 operations a parameter and token.
    const flops = 10 * parameters * options.steps * options.batchSize * usualLength;
    return targets.map(({ info }) => ({
      module: info.name,
      produces: 'dense',
      storedBits: elementCount(info.shape) * (info.dtype === 'float32' ? 32 : 16),
      flops: (flops * elementCount(info.shape)) / weights,
      // Student, teacher, gradients and two tensors of AdamW in float32, held together.
      workingBytes: 4 * 5 * parameters,
    }));
  },
  apply,
});

/** Tokens of a window where a plan has to guess. */
const usualLength = 512;

function sharedOptions(targets: readonly TargetModule<DistillLogitsOptions>[]): DistillLogitsOptions {
  const { options } = targets[0]!;
  const other = targets.find((target) => JSON.stringify(target.options) !== JSON.stringify(options));
  if (other === undefined) return options;
  throw pluginError({
    code: 'PARE_DISTILL_LOGITS_OPTIONS_DIFFER',
    message: `${other.info.name} has other options than ${targets[0]!.info.name}`,
    help: 'The model is trained as a whole: give options to the stage, and leave overrides out.',
  });
}

async function apply(context: Context): Promise<void> {
  const { modules, model, original, windows, backend, signal, seed, progress, log, services } = context;
  const options = sharedOptions(modules);
  await using opened = options.teacher === undefined ? undefined : await services.models.open(options.teacher, { signal });
  const teacher = opened ?? original;
  const [expected, found] = [teacher.description.vocabularySize, model.description.vocabularySize];
  if (expected !== found) throw pareError('PARE_VOCABULARY_MISMATCH', { original: teacher.name, expected, model: model.name, found });
  log.info(`${model.name} learns from ${teacher.name}: ${String(windows.length)} windows, ${String(options.steps)} steps`);

  const adapters = new Map<string, Adapter>();
  const adapter = options.loraRank > 0 ? lora({ rank: options.loraRank, alpha: options.loraAlpha }) : undefined;
  if (adapter !== undefined) for (const { info } of modules) adapters.set(parameterName(info), adapter);
  const { divergence, beta, temperature, labelShare } = options;
  const segments = decoderSegments({ description: model.description, experts: expertModeOn(backend, model.description), loss: distillation({ divergence, beta, temperature, labelShare }), adapters });
  const parameters = await loadParameters(backend, model, segments);
  try {
    for (const [name, tensor] of createAdapterParameters(backend, segments, adapters, seed)) parameters.set(name, tensor);
    const others = adapter === undefined ? context.parameters.filter(({ name, module }) => parameters.has(name) && (module === undefined || module.form === 'dense')) : [];
    const trainable = adapter === undefined ? new Set([...modules.map(({ info }) => parameterName(info)), ...others.map(({ name }) => name)]) : adapterNames(segments);
    await using lessons = await openTeacher(backend, teacher, signal);
    const texts = windows.map((ids) => ({ ids, mask: new Uint8Array(ids.length).fill(1) }));
    const batches = windowBatches({ windows: texts, order: new TrainingOrder({ count: texts.length, order: 'shuffled', seed }), batchSize: options.batchSize, microBatch: options.microBatch });
    const { steps, learningRate, warmup, weightDecay, clipNorm, recompute } = options;
    const { losses } = await train({
      backend,
      segments,
      parameters,
      trainable,
      steps,
      batches: (step) => lessons.with(batches(step)),
      optimizer: adamW({ weightDecay }),
      schedule: schedule({ rate: learningRate, warmup: Math.min(warmup, steps), steps }),
      clipNorm,
      recompute,
      signal,
      onStep: ({ step, loss }) => {
        progress.report({ completed: step, total: steps, unit: 'steps', detail: `loss ${loss.toPrecision(4)}` });
      },
    });
    const report = { details: { steps, firstLoss: losses[0]!, lastLoss: losses.at(-1)! } };
    for (const { info, replace } of modules) {
      const name = parameterName(info);
      const { data } = adapter === undefined ? await backend.read(parameters.get(name)!) : await mergeAdapter(backend, name, adapter, parameters);
      await replace(denseWeight(data as Float32Array, info.shape, info.dtype), report);
    }
    for (const { name, shape, replace } of others) await replace(float32Tensor(shape, (await backend.read(parameters.get(name)!)).data as Float32Array));
  } finally {
    for (const tensor of parameters.values()) tensor[Symbol.dispose]();
  }
}

/** A tied head's matrix is the embedding's. */
function parameterName({ name, sharedWith = name }: TargetModule<DistillLogitsOptions>['info']): string {
  return `${sharedWith}.weight`;
}

/** The teacher's side of a training. */
interface Teacher extends AsyncDisposable {
  /** Batches with the teacher's logits, which live until the next batch is asked for. */
  with(batches: readonly Batch[]): AsyncIterable<Batch>;
}

async function openTeacher(backend: Backend, teacher: Model, signal: AbortSignal): Promise<Teacher> {
  const segments = decoderSegments({ description: teacher.description, experts: expertModeOn(backend, teacher.description), loss: logitsOnly });
  const parameters: ReadonlyMap<string, DeviceTensor> = await loadParameters(backend, teacher, segments);
  const decoder = new DecoderGradients({ backend, segments, parameters, trainable: new Set(), recompute: true, signal });
  return {
    async *with(batches) {
      for (const batch of batches) {
        const { logits } = await decoder.outputs(batch);
        using tensor = logits!;
        yield { ...batch, inputs: { ...batch.inputs, teacher: tensor } };
      }
    },
    async [Symbol.asyncDispose]() {
      await decoder[Symbol.asyncDispose]();
      for (const tensor of parameters.values()) tensor[Symbol.dispose]();
    },
  };
}
