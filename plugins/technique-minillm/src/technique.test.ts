import type { Recipe } from '@pare/core';
import { cpuBackend, cpuOptions } from '@pare/backend-cpu';
import { huggingFaceFormat } from '@pare/format-hf';
import { memoryFiles } from '@pare/platform';
import { expectNoLeaks, failure, fixtures, folderHashes, memoryText, sampleText, startTestHost, temporaryDirectory, tinyModel, writeSyntheticLlama } from '@pare/testkit';
import { type HostTensor } from '@pare/core';
import { type MixedSample } from '@pare/model';
import { describe, expect, it } from 'vitest';
import { languageBatches, rolloutBatches } from './batches.js';
import { miniLlm, miniLlmOptions } from './index.js';
import { RolloutSource, rolloutsOf } from './rollouts.js';

const prompts = memoryText(Array.from({ length: 6 }, (_, index) => JSON.stringify({ question: `is it ${String(index)}` })).join('\n'), 'items.jsonl');
const calibration = { data: memoryText(sampleText(3000)), samples: 6, sequenceLength: 16 };
type Options = Recipe['stages'][number]['options'];
const recipe = (options: Options): Recipe => ({ version: 1, stages: [{ technique: 'minillm', options: { rollouts: 8, batchSize: 4, epochs: 2, textBatchSize: 2, maxNewTokens: 6, warmup: 2, learningRate: 0.01, ...options } }] });
const teacher = fixtures.model('llama');
const opened = () => cpuBackend.create(cpuOptions.parse({ threads: 1 }), { log: console });

describe('rollouts', () => {
  const sample: MixedSample = { tokens: Int32Array.of(5, 6), ended: true, teacher: Float64Array.of(-1, -9), student: Float64Array.of(-2, -1), importance: Float64Array.of(0.5, 2) };
  const options = { lengthNormalization: true, discount: 1, rewardScaling: 1, rewardClip: 5 };

  it('earn what the teacher finds likelier than the student', () => {
    const [rollout] = rolloutsOf([Int32Array.of(1)], [sample], { ...options, variant: 'paper' });
    // Rewards are 1 and −8, cut to −5; the first token earns the second's.
    expect([...rollout!.advantages]).toEqual([-5, 0]);
    expect([...rollout!.divergenceWeights]).toEqual([0.5, 2]);
    expect([...rollout!.behaviour]).toEqual([-2 - Math.log(0.5), -1 - Math.log(2)]);
  });

  it('of the released program earn their own reward, whitened, and are not weighted', () => {
    const [rollout] = rolloutsOf([Int32Array.of(1)], [sample], { ...options, variant: 'released', rewardScaling: 0.5 });
    // (2 − 5) / 2 and −5, moved to ±1.
    expect([...rollout!.advantages].map((value) => Math.round(1e3 * value))).toEqual([1000, -1000]);
    expect([...rollout!.divergenceWeights]).toEqual([1, 1]);
  });

  it('of a student that is its teacher earn nothing', () => {
    const [rollout] = rolloutsOf([Int32Array.of(1)], [{ ...sample, student: sample.teacher }], { ...options, variant: 'paper' });
    expect(rollout!.advantages.every((value) => Math.abs(value) === 0)).toBe(true);
  });

  it('become batches in which each token counts the same', () => {
    const rollouts = rolloutsOf([Int32Array.of(1, 1), Int32Array.of(1)], [sample, { ...sample, importance: Float64Array.of(1, 1) }], { ...options, variant: 'paper' });
    const [batch] = rolloutBatches(rollouts, 4, 128);
    const values = (name: string): number[] => Array.from((batch!.inputs[name] as HostTensor).data as Float32Array);
    expect(values('divergenceWeights').filter((value) => value !== 0)).toEqual([0.25, 0.25, 0.125, 0.5]);
    expect(values('advantages').filter((value) => value !== 0)).toEqual([-1.25, -1.25]);
    const [language] = languageBatches([{ ids: batch!.ids, inputs: { targets: batch!.inputs['targets']!, weights: batch!.inputs['divergenceWeights']! } }], { languageWeight: 2, softShare: 0.25 });
    expect(Math.max(...Array.from((language!.inputs['labelWeights'] as HostTensor).data as Float32Array))).toBe(0.75);
  });

  it('are drawn once for their epochs, and found again by a run that goes on', async () => {
    const work = { files: memoryFiles(), path: '/kept' };
    const given = { texts: [{ prompt: Int32Array.of(1), response: undefined }], stopTokens: [], options: miniLlmOptions.parse({ rollouts: 4, batchSize: 2, epochs: 2 }), seed: 1, work, identity: 'a teacher' };
    const samples = Array.from({ length: 4 }, (_, index) => ({ tokens: [index], ended: true, teacher: [-0.1], student: [-1 / 3], importance: [1] }));
    const kept = JSON.stringify({ identity: given.identity, samples });
    await work.files.makeFolder('/kept');
    await work.files.writeText('/kept/rollouts-0.json', kept);
    const source = new RolloutSource({ ...given, generators: () => Promise.reject(new Error('nothing is to be drawn')) });
    const steps = await Promise.all([0, 1, 2, 3].map((step) => source.rollouts(step)));
    expect(steps.map(({ length }) => length)).toEqual([2, 2, 2, 2]);
    for (const pass of [0, 2]) expect([...steps[pass]!, ...steps[pass + 1]!].map(({ response }) => response[0]).sort()).toEqual([0, 1, 2, 3]);
    expect(steps[0]![0]!.behaviour[0]).toBe(-1 / 3);
    await expect(source.rollouts(4)).rejects.toThrow('nothing is to be drawn');
    // What another teacher had a part in is no use.
    const other = new RolloutSource({ ...given, identity: 'another', generators: () => Promise.reject(new Error('is drawn anew')) });
    await expect(other.rollouts(0)).rejects.toThrow('is drawn anew');
  });
});

describe('minillm', () => {
  it('draws a student nearer to its teacher, and goes on where it was stopped to the same bytes', async () => {
    await using folder = await tinyModel('llama-tied-rope-scaled');
    await using host = await startTestHost({ plugins: [miniLlm, cpuBackend, huggingFaceFormat] });
    await using backend = await opened();
    const request = { model: folder.model, recipe: recipe({ teacher, steps: 16 }), calibration, prompts, formats: ['hf'], backend, seed: 3 };
    const result = await host.compress({ ...request, output: folder.join('whole') });
    expectNoLeaks(backend);
    const details = result.stages[0]!.reports[0]!.details!;
    expect(details['lastLoss']).toBeLessThan(0.9 * details['firstLoss']!);

    const abort = new AbortController();
    const stop = (event: object): void => {
      if ('unit' in event && event.unit === 'steps' && 'completed' in event && event.completed === 6) abort.abort();
    };
    host.events.on('progress', stop);
    await expect(host.compress({ ...request, output: folder.join('resumed'), signal: abort.signal })).rejects.toMatchObject({ code: 'PARE_ABORTED' });
    host.events.off('progress', stop);
    await host.compress({ ...request, output: folder.join('resumed'), resume: true });
    expect(await folderHashes(folder.join('resumed'))).toEqual(await folderHashes(folder.join('whole')));
  });

  it('does without language modelling, and as its program has it', async () => {
    await using folder = await tinyModel('llama-tied-rope-scaled');
    await using host = await startTestHost({ plugins: [miniLlm, cpuBackend, huggingFaceFormat] });
    await using backend = await opened();
    const released = recipe({ teacher, steps: 4, languageWeight: 0, variant: 'released', teacherShare: 0 });
    const result = await host.compress({ model: folder.model, recipe: released, prompts, output: folder.join('out'), formats: ['hf'], backend, seed: 3 });
    expect(Number.isFinite(result.stages[0]!.reports[0]!.details!['lastDivergence'])).toBe(true);
    expectNoLeaks(backend);
  });

  it('needs a text for language modelling, prompts that fit, and a teacher of the same tokens', async () => {
    await using folder = await tinyModel('llama');
    await using host = await startTestHost({ plugins: [miniLlm] });
    const run = async (request: object, options: Options = {}): Promise<string> => (await failure(host.compress({ model: folder.model, recipe: recipe({ steps: 1, ...options }), output: folder.join('out'), formats: ['dump'], backend: 'reference', ...request }))).code;
    expect(await run({ prompts })).toBe('PARE_CALIBRATION_MISSING');
    expect(await run({}, { languageWeight: 0 })).toBe('PARE_PROMPTS_MISSING');
    expect(await run({ prompts, calibration }, { maxNewTokens: 200 })).toBe('PARE_PROMPT_TOO_LONG');
    expect(await run({ calibration }, { promptTokens: 16 })).toBe('PARE_OPTIONS_INVALID');
    await using other = await temporaryDirectory();
    await writeSyntheticLlama(other.path, { layers: 1, vocabulary: 128 });
    expect(await run({ prompts, calibration }, { teacher: other.path })).toBe('PARE_VOCABULARY_MISMATCH');
  });
});
