import { createRandom, float32Tensor, hostTensor, type HostTensor } from '@pare/core';
import { GraphBuilder, gradientGraph, type Value } from '@pare/graph';
import { evaluateGraph } from '@pare/operators';
import { describe, expect, it } from 'vitest';
import { crossEntropy, nextTokenTargets } from './cross-entropy.js';
import { distillation, type DistillationOptions } from './distillation.js';
import { addCosineDistance, addForwardDivergence, addJensenShannon, addReverseDivergence, addSquaredError } from './divergences.js';
import { type Loss } from './loss.js';

const vocabulary = 7;
const random = createRandom(3);
const scores = (): number[] => Array.from({ length: vocabulary }, () => 6 * random() - 3);
const [teacher, student] = [scores(), scores()];

function softmax(values: readonly number[]): number[] {
  const exponentials = values.map(Math.exp);
  const sum = exponentials.reduce((left, right) => left + right, 0);
  return exponentials.map((value) => value / sum);
}
const divergence = (p: readonly number[], q: readonly number[]): number => p.reduce((sum, value, index) => sum + value * Math.log(value / q[index]!), 0);

/** A measure of the teacher's and the student's logarithmic probabilities. */
function measure(add: (builder: GraphBuilder, teacher: Value, student: Value) => Value, left = teacher, right = student, logarithms = true): number {
  const b = new GraphBuilder('measure');
  const [p, q] = ['teacher', 'student'].map((name) => b.input(name, 'float32', [1, vocabulary])).map((value) => (logarithms ? b.op('LogSoftmax', [value], { axis: -1 }) : value));
  b.output(add(b, p!, q!), 'value');
  return Number(evaluateGraph(b.build(), { teacher: float32Tensor([1, vocabulary], left), student: float32Tensor([1, vocabulary], right) })['value']!.data[0]);
}

describe('divergences', () => {
  const [p, q] = [softmax(teacher), softmax(student)];

  it('are those of their formulae', () => {
    expect(measure(addForwardDivergence)).toBeCloseTo(divergence(p, q), 5);
    expect(measure(addReverseDivergence)).toBeCloseTo(divergence(q, p), 5);
    for (const beta of [0.1, 0.5, 0.9]) {
      const mixture = p.map((value, index) => beta * value + (1 - beta) * q[index]!);
      expect(measure((b, left, right) => addJensenShannon(b, left, right, beta))).toBeCloseTo(beta * divergence(p, mixture) + (1 - beta) * divergence(q, mixture), 5);
    }
    expect(measure(addSquaredError, teacher, student, false)).toBeCloseTo(teacher.reduce((sum, value, index) => sum + (value - student[index]!) ** 2, 0) / vocabulary, 5);
    const dot = (left: readonly number[], right: readonly number[]): number => left.reduce((sum, value, index) => sum + value * right[index]!, 0);
    expect(measure(addCosineDistance, teacher, student, false)).toBeCloseTo(1 - dot(teacher, student) / Math.sqrt(dot(teacher, teacher) * dot(student, student)), 5);
    expect(measure(addCosineDistance, teacher, new Array<number>(vocabulary).fill(0), false)).toBe(1);
  });

  it('tend to both directions of KL at the ends of β', () => {
    const near = 1e-3;
    expect(measure((b, left, right) => addJensenShannon(b, left, right, near)) / near).toBeCloseTo(divergence(p, q), 1);
    expect(measure((b, left, right) => addJensenShannon(b, left, right, 1 - near)) / near).toBeCloseTo(divergence(q, p), 1);
    expect(() => addJensenShannon(new GraphBuilder('end'), undefined as never, undefined as never, 1)).toThrow('beta is 1');
  });

  it('stay finite for distributions that share nothing', () => {
    const [left, right] = [Array.from({ length: vocabulary }, (_, index) => (index === 0 ? 200 : 0)), Array.from({ length: vocabulary }, (_, index) => (index === 1 ? 200 : 0))];
    for (const add of [addForwardDivergence, addReverseDivergence, (b: GraphBuilder, a: Value, c: Value) => addJensenShannon(b, a, c, 0.5)]) expect(Number.isFinite(measure(add, left, right))).toBe(true);
    expect(measure((b, a, c) => addJensenShannon(b, a, c, 0.5), left, right)).toBeCloseTo(Math.log(2), 5);
  });
});

/** Loss and gradient of logits [2, 3, vocabulary]. */
function evaluate(loss: Loss, logits: HostTensor, inputs: Readonly<Record<string, HostTensor>>): { loss: number; gradient: Float32Array; metrics: Record<string, number> } {
  const b = new GraphBuilder('loss');
  const built = loss.build(b, b.input('logits', 'float32', ['batch', 3, vocabulary]), { input: (name, dtype, shape) => b.input(name, dtype, shape) });
  b.output(built.loss, 'loss');
  for (const [name, value] of Object.entries(built.metrics ?? {})) b.output(value, name);
  const outputs = ['loss', ...Object.keys(built.metrics ?? {})];
  const result = evaluateGraph(gradientGraph(b.build(), { of: 'loss', withRespectTo: ['logits'], outputs }), { logits, ...inputs });
  const { loss: value, 'gradient.logits': gradient, ...metrics } = result;
  return { loss: Number(value!.data[0]), gradient: gradient!.data as Float32Array, metrics: Object.fromEntries(Object.entries(metrics).map(([name, { data }]) => [name, Number(data[0])])) };
}

const rows = (count: number): HostTensor => float32Tensor([2, 3, vocabulary], Array.from({ length: count }, scores).flat());
const logits = rows(6);
const teacherLogits = rows(6);
const windows = [Int32Array.of(1, 2, 3), Int32Array.of(6, 0, 5)];

describe('cross-entropy', () => {
  it('is the mean over the tokens to be predicted, and has no gradient elsewhere', () => {
    const masks = [Uint8Array.of(1, 0, 1), Uint8Array.of(0, 1, 1)];
    const { loss, gradient } = evaluate(crossEntropy, logits, nextTokenTargets(windows, masks));
    const at = (row: number): number[] => Array.from((logits.data as Float32Array).subarray(row * vocabulary, (row + 1) * vocabulary));
    const expected = [[1, 3], [3, 0], [4, 5]].map(([row, token]) => -Math.log(softmax(at(row!))[token!]!));
    expect(loss).toBeCloseTo(expected.reduce((left, right) => left + right) / 3, 5);
    for (const row of [0, 2, 5]) expect(Array.from(gradient.subarray(row * vocabulary, (row + 1) * vocabulary))).toEqual(new Array(vocabulary).fill(0));
    expect(gradient[1 * vocabulary + 3]).toBeCloseTo((softmax(at(1))[3]! - 1) / 3, 5);
  });

  it('counts tokens of other batches of the step', () => {
    const alone = evaluate(crossEntropy, logits, nextTokenTargets(windows));
    const among = evaluate(crossEntropy, logits, nextTokenTargets(windows, undefined, 16));
    expect(among.loss).toBeCloseTo(alone.loss / 4, 6);
    const nothing = nextTokenTargets(windows, [new Uint8Array(3), new Uint8Array(3)]);
    expect(evaluate(crossEntropy, logits, nothing).loss).toBe(0);
  });
});

describe('distillation', () => {
  const inputs = { ...nextTokenTargets(windows), teacher: teacherLogits };
  const run = (options: Partial<DistillationOptions>, given: HostTensor = logits): ReturnType<typeof evaluate> =>
    evaluate(distillation({ divergence: 'forward', temperature: 1, labelShare: 0, ...options }), given, inputs);

  it('is nothing for a student that says what the teacher says', () => {
    for (const options of [{ divergence: 'forward' }, { divergence: 'reverse', temperature: 2 }, { divergence: 'jensen-shannon', beta: 0.3 }, { divergence: 'squared-error' }] as const) {
      const { loss, gradient } = run(options, teacherLogits);
      expect(Math.abs(loss)).toBeLessThan(1e-6);
      expect(Math.max(...gradient.map(Math.abs))).toBeLessThan(1e-6);
    }
  });

  it('has the gradients of both directions of KL at the ends of β', () => {
    const near = 1e-3;
    for (const [beta, divergence] of [[near, 'forward'], [1 - near, 'reverse']] as const) {
      const [mixed, end] = [run({ divergence: 'jensen-shannon', beta }), run({ divergence })];
      for (const [index, value] of end.gradient.entries()) expect(mixed.gradient[index]! / near).toBeCloseTo(value, 2);
    }
  });

  it('mixes in the text\'s own tokens', () => {
    const [soft, hard, mixed] = [run({ labelShare: 0 }), run({ labelShare: 1 }), run({ labelShare: 0.25 })];
    expect(hard.loss).toBeCloseTo(evaluate(crossEntropy, logits, nextTokenTargets(windows)).loss, 5);
    expect(mixed.loss).toBeCloseTo(0.75 * soft.loss + 0.25 * hard.loss, 5);
    expect(mixed.metrics['divergence']).toBeCloseTo(soft.loss, 5);
    expect(mixed.metrics['label']).toBeCloseTo(hard.loss, 5);
  });

  it('keeps its gradient when the temperature rises: (y − z) / V for logits of mean zero', () => {
    const centred = (tensor: HostTensor): HostTensor => {
      const data = Float32Array.from(tensor.data as Float32Array);
      for (let start = 0; start < data.length; start += vocabulary) {
        const mean = data.subarray(start, start + vocabulary).reduce((sum, value) => sum + value, 0) / vocabulary;
        for (let index = start; index < start + vocabulary; index++) data[index]! -= mean;
      }
      return hostTensor('float32', tensor.shape, data);
    };
    const [y, z] = [centred(logits), centred(teacherLogits)];
    const { gradient } = evaluate(distillation({ divergence: 'forward', temperature: 300, labelShare: 0 }), y, { ...inputs, teacher: z });
    const weights = inputs.weights.data as Float32Array;
    for (const [index, value] of gradient.entries()) {
      const expected = ((Number(y.data[index]) - Number(z.data[index])) / vocabulary) * weights[Math.floor(index / vocabulary)]!;
      expect(value).toBeCloseTo(expected, 2);
    }
  });

  it('refuses a temperature that is not positive', () => {
    expect(() => distillation({ divergence: 'forward', temperature: 0, labelShare: 0 })).toThrow('temperature is 0');
  });
});
