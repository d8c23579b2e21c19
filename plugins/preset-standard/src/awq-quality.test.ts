import { cpuBackend } from '@pare/backend-cpu';
import { perplexity } from '@pare/evaluator-perplexity';
import { awq } from '@pare/technique-awq';
import { rtn } from '@pare/technique-rtn';
import { startTestHost } from '@pare/testkit';
import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';

const example = (path: string): string => fileURLToPath(new URL(`../../../examples/${path}`, import.meta.url));

it.each([4, 3])('awq loses less of tales-7m than rounding to the same %i bits', async (bits) => {
  await using host = await startTestHost({ plugins: [awq, rtn, perplexity, cpuBackend] });
  // All blocks and 8,192 tokens: with half of both, rounding to nearest wins now and then at 4 bits.
  const perplexityOf = async (technique: string): Promise<number> => {
    const recipe = { version: 1, stages: [{ technique, options: { bits, groupSize: 64, symmetric: true } }] } as const;
    const calibration = { data: example('data/tales-calibration.txt'), samples: 8, sequenceLength: 512 };
    const request = { model: example('models/tales-7m'), evaluators: ['perplexity'], data: example('data/tales-evaluation.txt'), commonOptions: { samples: 16, sequenceLength: 512 }, backend: 'cpu' };
    return (await host.evaluate({ ...request, recipe: { recipe, calibration } })).metrics['perplexity']!;
  };
  expect(await perplexityOf('awq')).toBeLessThan(await perplexityOf('rtn'));
}, 300_000);
