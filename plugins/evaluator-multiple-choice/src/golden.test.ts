import { cpuBackend } from '@pare/backend-cpu';
import { startTestHost } from '@pare/testkit';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { multipleChoice, type ItemScore } from './index.js';

const root = (path: string): string => fileURLToPath(new URL(`../../../${path}`, import.meta.url));

interface Golden {
  readonly acc: number;
  readonly acc_norm: number;
  readonly logProbabilities: readonly (readonly number[])[];
}
const golden = JSON.parse(readFileSync(fileURLToPath(new URL('../golden/lm-eval.json', import.meta.url)), 'utf8')) as Golden;

describe('multiple choice against lm-evaluation-harness', () => {
  it('gives its log-probabilities of every choice, and its accuracies', async () => {
    await using host = await startTestHost({ plugins: [multipleChoice, cpuBackend] });
    const { metrics, evaluations } = await host.evaluate({
      model: root('examples/models/tales-7m'),
      evaluators: [{ id: 'multiple-choice', options: { samples: golden.logProbabilities.length } }],
      items: root('examples/data/reasoning-evaluation.jsonl'),
      backend: 'cpu',
    });
    const items = evaluations[0]!.details!['items'] as readonly ItemScore[];
    expect(items).toHaveLength(golden.logProbabilities.length);
    for (const [index, { logProbabilities }] of items.entries()) {
      const expected = golden.logProbabilities[index]!;
      expect(logProbabilities).toHaveLength(expected.length);
      for (const [choice, value] of logProbabilities.entries()) expect(Math.abs(value - expected[choice]!), `item ${String(index)}, choice ${String(choice)}`).toBeLessThan(1e-3);
    }
    expect(metrics).toMatchObject({ accuracy: golden.acc, accuracyNormalized: golden.acc_norm });
  });
});
