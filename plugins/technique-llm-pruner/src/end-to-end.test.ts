import { cpuBackend } from '@pare/backend-cpu';
import type { Recipe } from '@pare/core';
import { perplexity } from '@pare/evaluator-perplexity';
import { huggingFaceFormat } from '@pare/format-hf';
import { onnxFormat } from '@pare/format-onnx';
import { rtn } from '@pare/technique-rtn';
import { startTestHost, temporaryDirectory } from '@pare/testkit';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { llmPruner, type LlmPrunerOptions } from './index.js';

const example = (path: string): string => fileURLToPath(new URL(`../../../examples/${path}`, import.meta.url));
const model = example('models/tales-7m');
const calibration = { data: example('data/tales-calibration.txt'), samples: 10, sequenceLength: 64 };
const data = example('data/tales-evaluation.txt');

const recipe = (options: Partial<LlmPrunerOptions>, ...more: Recipe['stages']): Recipe => ({ version: 1, stages: [{ technique: 'llm-pruner', options }, ...more] });

describe('tales-7m', () => {
  it('with 20 % of its neurons taken out: gradients by element, by vector, random, magnitudes, in this order (LLM-Pruner, table 1)', async () => {
    await using host = await startTestHost({ plugins: [llmPruner, perplexity, cpuBackend] });
    const measure = async (importance: LlmPrunerOptions['importance']): Promise<number> => {
      const request = { model, recipe: { recipe: recipe({ ratio: 0.2, importance }), calibration }, evaluators: ['perplexity'], data, commonOptions: { samples: 8, sequenceLength: 128 }, backend: 'cpu' };
      return (await host.evaluate(request)).metrics['perplexity']!;
    };
    const [element, vector, random, magnitude] = [await measure('element'), await measure('vector'), await measure('random'), await measure('l2')];
    expect(element).toBeLessThan(vector);
    expect(vector).toBeLessThan(random);
    expect(random).toBeLessThan(magnitude);
  }, 180_000);

  it('is pruned, quantized and exported in one recipe', async () => {
    await using folder = await temporaryDirectory();
    await using host = await startTestHost({ plugins: [llmPruner, rtn, perplexity, cpuBackend, huggingFaceFormat, onnxFormat] });
    const output = folder.join('out');
    const rounding: Recipe['stages'][number] = { technique: 'rtn', options: { bits: 4, groupSize: 64 } };
    await host.compress({ model, recipe: recipe({ ratio: 0.2, multipleOf: 64 }, rounding), calibration, output, backend: 'cpu', formats: ['hf', 'onnx'] });
    await using small = await host.openModel(output);
    // 768 · 0.8 = 614.4 neurons, the next multiple of 64 is 640.
    expect(small.config['intermediate_size']).toBe(640);
    const score = async (subject: string): Promise<number> => (await host.evaluate({ model: subject, evaluators: ['perplexity'], data, commonOptions: { samples: 4, sequenceLength: 64 }, backend: 'cpu' })).metrics['perplexity']!;
    const [weights, exported] = [await score(output), await score(`${output}/onnx/model_q4.onnx`)];
    expect(Math.abs(exported / weights - 1)).toBeLessThan(0.02);
  }, 180_000);
});
