import { huggingFaceFormat } from '@pare/format-hf';
import { apiVersion, createRandom, defineTechnique, float32Tensor, type ModuleHandle, type ParameterHandle, type Recipe, type Technique, type TechniqueContext } from '@pare/core';
import { findFoldSites, foldChanges } from './index.js';
import { openModel } from '@pare/model';
import type { CompressionRequest } from '@pare/runtime';
import { denseFloat32, denseWeight } from '@pare/weights';
import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { architectures, failure, folderHashes, leakCheckedBackend, memoryText, modelLogits, probeTechnique, sampleText, startTestHost, tinyModel, type FixtureName } from '@pare/testkit';

const calibration = { data: memoryText(sampleText(4000)), samples: 3, sequenceLength: 16 };
const options = z.strictObject({ seed: z.int().default(1).describe('What the scales are drawn from.') });
type Options = z.infer<typeof options>;

interface Settings {
  readonly id?: string;
  readonly adjusts?: boolean;
  onApply?(context: TechniqueContext<Options>): void | Promise<void>;
}

/** Folds powers of two, which change no mantissa, into every site of a block. Targets stay dense. */
function foldTechnique({ id = 'fold', adjusts = true, onApply }: Settings = {}): Technique<Options> {
  return defineTechnique<Options>({
    id,
    api: apiVersion,
    title: 'Fold',
    summary: 'Folds random powers of two; for tests.',
    family: 'quantization',
    scope: 'block',
    adjusts,
    options,
    accepts: ['dense'],
    produces: ['dense'],
    plan: (targets) =>
      targets.map(({ info: { name, shape, dtype } }) => ({ module: name, produces: 'dense', storedBits: shape[0] * shape[1] * (dtype === 'float32' ? 32 : 16), flops: 1, workingBytes: 1 })),
    async apply(context) {
      await onApply?.(context);
      const random = createRandom(context.modules[0]!.options.seed);
      const weights = new Map<string, Float32Array>();
      const targets = new Map<string, ModuleHandle<Options>>(context.modules.map((module) => [`${module.info.name}.weight`, module]));
      const others = new Map<string, ParameterHandle>(context.parameters.map((parameter) => [parameter.name, parameter]));
      for (const [name, module] of targets) weights.set(name, (await module.weight()).data);
      for (const site of findFoldSites(context.model.description, context.block!.index).sites) {
        const scales = Float32Array.from({ length: site.channels }, () => 2 ** Math.floor(5 * random() - 2));
        for (const { tensor, apply } of foldChanges(site, scales)) {
          const values = weights.get(tensor) ?? (await others.get(tensor)!.value()).data;
          weights.set(tensor, apply(values));
        }
      }
      for (const [name, values] of weights) {
        const { shape, dtype } = targets.get(name)?.info ?? { shape: undefined, dtype: undefined };
        if (shape !== undefined) await targets.get(name)!.replace(denseWeight(values, shape, dtype));
        else await others.get(name)!.replace(float32Tensor(others.get(name)!.shape, values));
      }
    },
  });
}

const recipe: Recipe = { version: 1, stages: [{ technique: 'fold' }] };

async function run(model: string, output: string, technique: Technique<Options> = foldTechnique(), request: Partial<CompressionRequest> = {}): Promise<void> {
  await using host = await startTestHost({ plugins: [technique, foldTechnique({ id: 'fold-again' }), probeTechnique(), huggingFaceFormat] });
  await using backend = await leakCheckedBackend();
  await host.compress({ model, recipe, calibration, output, formats: ['hf'], backend, ...request });
}

async function logits(directory: string): Promise<Float32Array> {
  await using model = await openModel(directory, { architectures });
  await using backend = await leakCheckedBackend();
  return await modelLogits(backend, model, [Int32Array.from({ length: 12 }, (_, index) => 3 + 7 * index)]);
}

function largestDifference(a: Float32Array, b: Float32Array): number {
  const largest = Math.max(...a.map(Math.abs));
  return Math.max(...a.map((value, index) => Math.abs(value - b[index]!))) / largest;
}

describe('parameters that a technique adjusts', () => {
  it.each<FixtureName>(['llama', 'gpt2', 'gpt_neox', 'opt', 'gemma2', 'qwen3_moe', 'phi3'])('are written with the model and leave %s as it was when scales are folded', async (name) => {
    await using folder = await tinyModel(name);
    const output = folder.join('out');
    await run(folder.model, output);
    await using before = await openModel(folder.model, { architectures });
    await using after = await openModel(output, { architectures });
    const norm = `${before.description.blocks[1]!.attentionNorm.module}.weight`;
    expect(denseFloat32({ form: 'dense', shape: [], tensor: await after.tensor(norm) })).not.toEqual(denseFloat32({ form: 'dense', shape: [], tensor: await before.tensor(norm) }));
    expect(largestDifference(await logits(folder.model), await logits(output))).toBeLessThan(1e-5);
  });

  it('come back from the journal when a run is resumed', async () => {
    await using folder = await tinyModel('qwen3_moe');
    const [whole, broken] = [folder.join('whole'), folder.join('broken')];
    await run(folder.model, whole);
    const failing = foldTechnique({ onApply: ({ block }) => (block!.index === 1 ? Promise.reject(new Error('power cut')) : undefined) });
    await failure(run(folder.model, broken, failing));
    await run(folder.model, broken, foldTechnique({ onApply: ({ block }) => expect(block!.index).toBe(1) }), { resume: true });
    expect(await folderHashes(broken)).toEqual(await folderHashes(whole));
  });

  it('are seen by later stages, which may adjust them again', async () => {
    await using folder = await tinyModel('qwen3_moe');
    const output = folder.join('out');
    const stages = [{ technique: 'fold' }, { technique: 'fold-again', options: { seed: 2 }, targets: { include: ['q_proj', 'up_proj'] } }, { technique: 'fold', options: { seed: 3 } }];
    await run(folder.model, output, foldTechnique(), { recipe: { version: 1, stages } });
    expect(largestDifference(await logits(folder.model), await logits(output))).toBeLessThan(1e-5);
  });

  it('are everything in the block but the targets', async () => {
    await using folder = await tinyModel('qwen3_moe');
    const seen = new Set<string>();
    const onApply = ({ parameters, block, modules }: TechniqueContext<Options>): void => {
      for (const { name, module } of parameters) if (block!.index === 0) seen.add(`${name.slice('model.layers.0.'.length)} ${module?.kind ?? 'vector'}`);
      expect(parameters.some(({ module }) => modules.some(({ info }) => info.name === module?.name))).toBe(false);
    };
    await run(folder.model, folder.join('out'), foldTechnique({ onApply }));
    expect([...seen].sort()).toEqual(
      ['input_layernorm.weight vector', 'mlp.gate.weight router', 'post_attention_layernorm.weight vector', 'self_attn.k_norm.weight vector', 'self_attn.q_norm.weight vector'].sort(),
    );
    const without = foldTechnique({
      adjusts: false,
      onApply({ parameters }) {
        throw new Error(`${String(parameters.length)} parameters`);
      },
    });
    expect((await failure(run(folder.model, folder.join('without'), without))).message).toMatch(/0 parameters/);
  });

  it.each([
    ['another shape', float32Tensor([3]), /input_layernorm.weight: its shape is \[3\]; it should be \[64\]/],
    ['NaN', float32Tensor([64], new Float32Array(64).fill(NaN)), /input_layernorm.weight: element 0 is NaN/],
  ])('are refused with %s', async (_, values, message) => {
    await using folder = await tinyModel('llama');
    const technique = foldTechnique({ onApply: ({ parameters }) => parameters.find(({ name }) => name.includes('input_layernorm'))!.replace(values) });
    expect(await failure(run(folder.model, folder.join('out'), technique))).toMatchObject({ code: 'PARE_RESULT_INVALID', message: expect.stringMatching(message) as string });
  });

  it('are refused where an earlier stage compressed them', async () => {
    await using folder = await tinyModel('llama');
    const stages = [{ technique: 'probe', targets: { include: ['up_proj'] } }, { technique: 'fold', targets: { exclude: ['up_proj'] } }];
    expect(await failure(run(folder.model, folder.join('out'), foldTechnique(), { recipe: { version: 1, stages } }))).toMatchObject({
      code: 'PARE_RESULT_INVALID',
      message: expect.stringMatching(/up_proj.weight: its matrix is quantized already/) as string,
    });
  });
});
