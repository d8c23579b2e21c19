import { checkTechnique, describeFinding, describeTechnique, type TechniqueConformanceOptions } from '@pare/conformance';
import { apiVersion, createRandom, defineTechnique, float32Tensor, noOptions, throwIfAborted, type DeviceTensor, type Technique } from '@pare/core';
import { describe, expect, it } from 'vitest';
import { techniqueBench } from './index.js';

type Fault = 'none' | 'crashes in plan' | 'non-determinism' | 'leak' | 'writes outside its targets' | 'wrong plan (bytes)' | 'wrong plan (targets)' | 'ignores cancel' | 'breaks resume';

/** Multiplies each weight of a block by seeded noise, and has one fault. */
function planted(fault: Fault): Technique<Record<string, never>> {
  const leaked: DeviceTensor[] = [];
  let blocks = 0;
  return defineTechnique<Record<string, never>>({
    id: 'noise',
    api: apiVersion,
    title: 'Noise',
    summary: 'Multiplies every weight by a little seeded noise.',
    family: 'quantization',
    scope: 'block',
    options: noOptions,
    accepts: ['dense'],
    produces: ['dense'],
    ...(fault === 'writes outside its targets' && { adjusts: true }),
    plan(targets) {
      if (fault === 'crashes in plan' && targets.some(({ info }) => info.expert !== undefined)) throw new TypeError('no plan for experts');
      return targets
        .filter((_, index) => fault !== 'wrong plan (targets)' || index !== 1)
        .map(({ info: { name, shape } }) => ({ module: name, produces: 'dense', storedBits: (fault === 'wrong plan (bytes)' ? 16 : 32) * shape[0] * shape[1], flops: 0, workingBytes: 0 }));
    },
    async apply({ modules, parameters, signal, seed, backend, block }) {
      // What a later block needs of the earlier ones, kept where a resumed run does not find it.
      blocks = block?.index === undefined || block.index === 0 ? 1 : blocks + 1;
      if (fault === 'leak') leaked.push(backend.allocate('float32', [4]));
      const random = fault === 'non-determinism' ? Math.random : createRandom(seed);
      for (const module of modules) {
        if (fault !== 'ignores cancel') throwIfAborted(signal, 'adding noise');
        const { data, shape } = await module.weight();
        const size = fault === 'breaks resume' ? 0.01 * blocks : 0.01;
        await module.replace({ form: 'dense', shape, tensor: float32Tensor(shape, data.map((value) => value * (1 + size * (random() - 0.5)))) });
      }
      if (fault !== 'writes outside its targets') return;
      for (const parameter of parameters) {
        const { data, shape } = await parameter.value();
        if (parameter.name.endsWith('layernorm.weight')) await parameter.replace(float32Tensor(shape, data.map((value) => 2 * value)));
      }
    },
  });
}

const kit: TechniqueConformanceOptions<Record<string, never>> = { ...techniqueBench, modelNames: ['grouped queries', 'a tied head', 'experts'] };

describeTechnique(planted('none'), { ...techniqueBench });

describe('planted faults', () => {
  it.each<[Fault, RegExp]>([
    ['non-determinism', /technique noise is not deterministic: .* differs between two runs with one seed[^]*technique noise is not deterministic: two runs over a model differ/],
    ['leak', /technique noise leaks: \d+ device tensors are still alive after it ended[^]*technique noise leaks: \d+ device tensors are still alive after the run/],
    ['writes outside its targets', /technique noise writes outside its targets[^]*input_layernorm\.weight.* changed/],
    ['wrong plan (bytes)', /technique noise plans other bytes than it stores for block\.[^]*technique noise plans other bytes than it stores for model\.layers/],
    ['wrong plan (targets)', /technique noise plans other targets than it was given[^]*nothing for block\.second/],
    ['crashes in plan', /an error where none belongs, in "keeps its promises on a model with experts[^]*PARE_PLUGIN_FAILED: technique "noise" failed while planning: TypeError: no plan for experts/],
    ['ignores cancel', /technique noise ignores cancellation[^]*of 3 modules after its signal[^]*technique noise ignores cancellation[^]*went on over \d+ modules of a block/],
    ['breaks resume', /technique noise breaks resume: a run that was interrupted after 1 block\(s\) ends differently[^]*never from what an earlier call left behind/],
  ])('%s is caught and named', async (fault, message) => {
    expect((await checkTechnique(planted(fault), kit)).map(describeFinding).join('\n')).toMatch(message);
  });
});
