import { apiVersion, defineTechnique, elementCount, type GramMatrix, type Technique, type TechniqueContext, type TechniqueScope, type WeightFormKind } from '@pare/core';
import { gramStatistic } from '@pare/model';
import { groupsPerRow, quantizeMatrix, quantizedBits, resolveScheme } from '@pare/weights';
import { z } from 'zod';

const options = z.strictObject({
  bits: z.int().min(2).max(8).default(4).describe('Bits of a code.'),
  groupSize: z.int().min(-1).default(-1).describe('Inputs that share a scale; -1 for one scale a row.'),
  symmetric: z.boolean().default(true).describe('Whether zero points are left out.'),
  sequential: z.boolean().default(false).describe('Whether each step of a block sees the steps before it replaced.'),
});

export type ProbeOptions = z.infer<typeof options>;

/** What tests may change about the probe. */
export interface ProbeSettings {
  readonly id?: string;
  /** `block` by default. */
  readonly scope?: Exclude<TechniqueScope, 'model'>;
  readonly accepts?: readonly WeightFormKind[];
  /** What blocks are calibrated on; `compressed` by default. */
  readonly inputs?: 'compressed' | 'original';
  /** Calibration tokens for trials; none by default. */
  readonly trialTokens?: number;
  /** What it asks for in training scope; the calibration text by default. */
  readonly learnsFrom?: 'text' | 'prompts' | 'either' | undefined;
  /** Runs at the start of every call: a place to abort, to wait, to fail. */
  onApply?(context: TechniqueContext<ProbeOptions>): void | Promise<void>;
}

/**
 * A technique for testing hosts, formats and evaluators: it rounds to the nearest grid point, and in block scope takes the Gram matrix of every module and
 * reports its trace per row as the loss, so that a report shows whether calibration data reached the module and what it was.
 */
export function probeTechnique(settings: ProbeSettings = {}): Technique<ProbeOptions> {
  const scope = settings.scope ?? 'block';
  return defineTechnique<ProbeOptions>({
    id: settings.id ?? 'probe',
    api: apiVersion,
    title: 'Probe',
    summary: 'Rounds to the nearest grid point and reports what calibration it saw; for tests.',
    family: 'quantization',
    scope,
    options,
    accepts: settings.accepts ?? ['dense'],
    produces: ['quantized'],
    ...(scope === 'block' ? { statistics: () => [gramStatistic], sequential: ({ sequential }: ProbeOptions) => sequential } : {}),
    ...(settings.inputs === undefined ? {} : { inputs: () => settings.inputs! }),
    ...(settings.learnsFrom === undefined ? {} : { learnsFrom: () => settings.learnsFrom! }),
    trialTokens: () => settings.trialTokens ?? 0,
    check: ({ info: { shape }, options: { groupSize } }) =>
      groupSize > 0 && shape[1] % groupSize !== 0 ? `group size ${String(groupSize)} does not divide its ${String(shape[1])} inputs` : undefined,
    plan: (targets) =>
      targets.map(({ info: { name, shape }, options: given }) => {
        const scheme = resolveScheme(given, shape[1]);
        return {
          module: name,
          produces: 'quantized',
          storedBits: quantizedBits(shape, scheme, 'float32'),
          bits: given.bits,
          groupSize: groupsPerRow(scheme, shape[1]) === 1 ? -1 : given.groupSize,
          symmetric: given.symmetric,
          groupIndex: false,
          flops: 8 * elementCount(shape),
          workingBytes: 4 * elementCount(shape) + (scope === 'block' ? 4 * shape[1] * shape[1] : 0),
        };
      }),
    async apply(context) {
      await settings.onApply?.(context);
      for (const module of context.modules) {
        context.signal.throwIfAborted();
        const weight = await module.weight();
        const form = quantizeMatrix(weight.data, module.info.shape, module.options, 'float32');
        if (scope !== 'block') await module.replace(form);
        else await module.replace(form, await report(await module.statistic(gramStatistic), context.backend, module.info.shape[1]));
      }
    },
  });
}

async function report({ matrix, rows }: GramMatrix, backend: TechniqueContext<unknown>['backend'], size: number): Promise<{ loss: number; details: { rows: number } }> {
  const { data } = await backend.read(matrix);
  let trace = 0;
  for (let index = 0; index < size; index++) trace += Number(data[index * size + index]);
  return { loss: rows === 0 ? 0 : trace / rows, details: { rows } };
}
