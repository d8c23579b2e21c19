import { cpuBackend } from '@pare/backend-cpu';
import { float32Tensor, type WeightForm } from '@pare/core';
import { overlayModel } from '@pare/model';
import { startTestHost } from '@pare/testkit';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { divergence, type DivergenceStatistics, type Estimate } from './index.js';

const root = (path: string): string => fileURLToPath(new URL(`../../../${path}`, import.meta.url));

type Golden = Readonly<Record<string, number | readonly [number, number] | Readonly<Record<string, number>>>>;
const golden = JSON.parse(readFileSync(fileURLToPath(new URL('../golden/kl-statistics.json', import.meta.url)), 'utf8')) as Golden;

const close = (found: number, name: string, part = golden[name]): void => {
  expect(Math.abs(found - (part as number)), name).toBeLessThan(1e-4);
};
const closeEstimate = ({ mean, standardError }: Estimate, name: string): void => {
  const [value, error] = golden[name] as readonly [number, number];
  expect(Math.abs(mean - value), name).toBeLessThan(1e-4);
  expect(Math.abs(standardError - error), `${name}, error`).toBeLessThan(1e-4);
};

describe('divergence against float64 in Python', () => {
  it('gives every figure that llama.cpp prints', async () => {
    await using host = await startTestHost({ plugins: [divergence, cpuBackend] });
    await using original = await host.openModel(root('examples/models/tales-7m'));
    const changed = new Map<string, () => Promise<WeightForm>>();
    for (const { name, shape } of original.modules) {
      if (!name.endsWith('mlp.down_proj')) continue;
      changed.set(name, async () => {
        const { data } = await original.denseWeight(name);
        return { form: 'dense', shape, tensor: float32Tensor(shape, data.map((value) => Math.floor(value * 32 + 0.5) / 32)) };
      });
    }
    expect(changed.size).toBe(8);
    const model = overlayModel(original, changed);
    const options = { samples: golden['windows'], sequenceLength: golden['sequenceLength'] };
    const report = await host.evaluate({ model, original, evaluators: [{ id: 'divergence', options }], data: root('examples/data/tales-evaluation.txt'), backend: 'cpu' });
    const found = report.evaluations[0]!.details as unknown as DivergenceStatistics;

    expect(found.tokens).toBe(golden['tokens']);
    closeEstimate(found.divergence, 'Mean KLD');
    close(found.divergence.maximum, 'Maximum KLD');
    close(found.divergence.median, 'Median KLD');
    close(found.divergence.minimum, 'Minimum KLD');
    closeEstimate(found.probabilityChange, 'Mean Δp');
    close(found.probabilityChange.maximum, 'Maximum Δp');
    close(found.probabilityChange.median, 'Median Δp');
    close(found.probabilityChange.minimum, 'Minimum Δp');
    closeEstimate(found.probabilityChange.rootMeanSquare, 'RMS Δp');
    closeEstimate(found.topOneAgreement, 'Same top p');
    for (const [key, spread] of [['KLD percentiles', found.divergence], ['Δp percentiles', found.probabilityChange]] as const) {
      for (const [percentage, value] of Object.entries(golden[key]!)) close(spread.percentiles[percentage]!, `${key} ${percentage}`, value);
    }
    closeEstimate(found.perplexity.model, 'Mean PPL(Q)');
    closeEstimate(found.perplexity.original, 'Mean PPL(base)');
    closeEstimate(found.perplexity.ratio, 'Mean PPL(Q)/PPL(base)');
    closeEstimate(found.perplexity.logarithmOfRatio, 'Mean ln(PPL(Q)/PPL(base))');
    closeEstimate(found.perplexity.difference, 'Mean PPL(Q)-PPL(base)');
    close(found.perplexity.correlation, 'Cor(ln(PPL(Q)), ln(PPL(base)))');
    expect(report.metrics['klDivergence']).toBe(found.divergence.mean);
  });
});
