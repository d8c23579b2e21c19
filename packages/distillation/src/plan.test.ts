import { isPareError, type TargetModule } from '@pare/core';
import { expect, it } from 'vitest';
import { z } from 'zod';
import { trainingOptions, type TrainingOptions } from './options.js';
import { planTraining } from './plan.js';
import { sharedOptions } from './shared-options.js';

const options = (given: Partial<TrainingOptions> = {}): TrainingOptions => z.strictObject(trainingOptions).parse(given);
const target = (name: string, shape: readonly [number, number], given = options()): TargetModule<TrainingOptions> => ({
  info: { name, kind: 'linear', role: 'mlp.up', block: 0, expert: undefined, step: 0, shape, layout: 'out-in', dtype: 'bfloat16', bias: false, sharedWith: undefined, form: 'dense' },
  options: given,
});
const targets = [target('up', [30, 10]), target('down', [10, 10])];

it('shares the work of the whole among the targets by size', () => {
  const given = options({ steps: 10, batchSize: 2, recompute: false });
  const plans = planTraining(targets, { parameters: 1000 }, { options: given, length: 16, teacherPasses: 1 });
  // 2 forward, 4 backward, 2 for the teacher.
  expect(plans.map(({ flops }) => flops)).toEqual([0.75, 0.25].map((share) => share * 8 * 1000 * 10 * 2 * 16));
  expect(plans.map(({ storedBits }) => storedBits)).toEqual([300 * 16, 100 * 16]);
  expect(plans[0]!.workingBytes).toBe(4 * 5 * 1000);
});

it('keeps gradients and state for adapters alone', () => {
  const [plan] = planTraining(targets, { parameters: 1000 }, { options: options({ loraRank: 2 }), teacherPasses: 0 });
  expect(plan).toMatchObject({ workingBytes: 4 * (1000 + 3 * 2 * (40 + 20)), workFolderBytes: 2 * 4 * 3 * 2 * (40 + 20) });
});

it('refuses options that differ, by both names', () => {
  expect(sharedOptions(targets)).toEqual(options());
  try {
    sharedOptions([...targets, target('gate', [1, 1], options({ steps: 3 }))]);
    expect.unreachable();
  } catch (error) {
    expect(isPareError(error) && [error.code, error.message]).toEqual(['PARE_OPTIONS_DIFFER', 'gate has other options than up']);
  }
});
