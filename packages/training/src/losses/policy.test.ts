import { createRandom, float32Tensor, hostTensor, type HostTensor } from '@pare/core';
import { GraphBuilder, gradientGraph, type Value } from '@pare/graph';
import { evaluateGraph } from '@pare/operators';
import { describe, expect, it } from 'vitest';
import { policyInputs, policyLoss, type PolicyPosition } from './policy.js';
import { textReturns, whiten, type ReturnOptions } from './returns.js';

/*
 * Three tokens, three places: models are tables of logits [prefixes, 3], a row for each of the 1 + 3 + 9 beginnings of a text. All 27 texts are enumerated, so that expectations
 * are exact sums and gradients can be compared with those of the divergence between whole texts.
 */
const size = 3;
const places = 3;
const texts = Array.from({ length: size ** places }, (_, index) => Array.from({ length: places }, (_place, place) => Math.floor(index / size ** (places - 1 - place)) % size));
const prefixRow = (text: readonly number[], place: number): number => text.slice(0, place).reduce((row, token) => row * size + token, 0) + (place === 0 ? 0 : place === 1 ? 1 : 1 + size);
const prefixes = 1 + size + size ** 2;

const random = createRandom(11);
type Table = Float32Array | Float64Array;
const table = (): Float32Array => Float32Array.from({ length: prefixes * size }, () => 3 * random() - 1.5);
const [teacher, student] = [table(), table()];

function softmax(logits: Table, row: number): number[] {
  const exponentials = Array.from(logits.subarray(row * size, (row + 1) * size), Math.exp);
  const sum = exponentials.reduce((left, right) => left + right, 0);
  return exponentials.map((value) => value / sum);
}
const likelihood = (logits: Table, text: readonly number[]): number[] => text.map((token, place) => softmax(logits, prefixRow(text, place))[token]!);
const product = (values: readonly number[]): number => values.reduce((left, right) => left * right, 1);

/** Σ q(y) ln(q(y) / p(y)) over whole texts. */
function textDivergence(q: Table): number {
  return texts.reduce((sum, text) => sum + product(likelihood(q, text)) * Math.log(product(likelihood(q, text)) / product(likelihood(teacher, text))), 0);
}

/** Its gradient, by central differences in double precision. */
function exactGradient(): number[] {
  const step = 1e-5;
  const at = (index: number, change: number): number => {
    const moved = new Float64Array(student);
    moved[index]! += change;
    return textDivergence(moved);
  };
  return Array.from(student, (_, index) => (at(index, step) - at(index, -step)) / (2 * step));
}

/** Loss and gradient of the student's table on all texts together. */
function evaluate(windows: readonly ReadonlyMap<number, PolicyPosition>[], clipRatio = 1e6, tables = { student, teacher }): { loss: number; gradient: number[] } {
  const b = new GraphBuilder('texts');
  const rows = b.constant(hostTensor('int64', [texts.length, places], BigInt64Array.from(texts.flatMap((text) => text.map((_, place) => BigInt(prefixRow(text, place)))))));
  const logitsOf = (name: string): Value => b.gather(b.input(name, 'float32', [prefixes, size]), rows, 0);
  const theirs = logitsOf('teacherTable');
  const { loss } = policyLoss({ clipRatio }).build(b, logitsOf('studentTable'), {
    input: (name, dtype) => (name === 'teacher' ? theirs : b.input(name, dtype, [texts.length, places, 1])),
  });
  b.output(loss, 'loss');
  const inputs: Record<string, HostTensor> = { teacherTable: float32Tensor([prefixes, size], tables.teacher), studentTable: float32Tensor([prefixes, size], tables.student), ...policyInputs(windows, places) };
  const result = evaluateGraph(gradientGraph(b.build(), { of: 'loss', withRespectTo: ['studentTable'], outputs: ['loss'] }), inputs);
  return { loss: Number(result['loss']!.data[0]), gradient: Array.from(result['gradient.studentTable']!.data as Float32Array) };
}

const paper: ReturnOptions = { of: 'following', lengthNormalization: false, discount: 1 };

/** What all texts contribute, each with the probability `share` of being drawn; `behaviour` is what its tokens were drawn by. */
function positions(share: (text: readonly number[]) => number, behaviour: (text: readonly number[]) => number[], options = paper): Map<number, PolicyPosition>[] {
  return texts.map((text) => {
    const [q, p, drawn] = [likelihood(student, text), likelihood(teacher, text), behaviour(text)];
    const returns = textReturns(Float64Array.from(q, (value, place) => Math.log(p[place]! / value)), options);
    const weight = share(text);
    return new Map(
      text.map((target, place) => [
        place,
        { target, behaviour: Math.log(drawn[place]!), advantage: weight * returns[place]!, divergenceWeight: (weight * q[place]!) / drawn[place]!, labelWeight: 0, softWeight: 0 },
      ]),
    );
  });
}

const largestDifference = (left: readonly number[], right: readonly number[]): number => Math.max(...left.map((value, index) => Math.abs(value - right[index]!)));

describe('the policy loss', () => {
  const exact = exactGradient();
  const own = (text: readonly number[]): number[] => likelihood(student, text);

  it('has the gradient of the divergence between whole texts, when texts are the student\'s', () => {
    const { gradient } = evaluate(positions((text) => product(own(text)), own));
    expect(largestDifference(gradient, exact)).toBeLessThan(1e-6);
  });

  it('takes the single step out of the policy gradient without changing its expectation', () => {
    // Σ (R_t − 1) ∇log q with the token's own reward in R_t, and nothing computed over the vocabulary (eq. 2).
    const windows = positions((text) => product(own(text)), own, { ...paper, of: 'inclusive' }).map((window, index) => {
      const share = product(own(texts[index]!));
      return new Map([...window].map(([place, given]) => [place, { ...given, advantage: given.advantage - share, divergenceWeight: 0 }] as const));
    });
    expect(largestDifference(evaluate(windows).gradient, exact)).toBeLessThan(1e-6);
  });

  it('of single tokens is their divergence alone', () => {
    // Of the last tokens nothing follows: what is left is the divergence of each place, with an expectation of 1 for importance weights.
    const last = places - 1;
    const mixture = (text: readonly number[]): number[] => own(text).map((value, place) => 0.8 * value + 0.2 * likelihood(teacher, text)[place]!);
    const share = (text: readonly number[]): number => product(own(text).slice(0, last)) * mixture(text)[last]!;
    const lastOnly = (windows: readonly Map<number, PolicyPosition>[]): Map<number, PolicyPosition>[] => windows.map((window) => new Map([[last, window.get(last)!]]));
    const mixed = evaluate(lastOnly(positions(share, mixture)));
    const plain = evaluate(lastOnly(positions((text) => product(own(text)), own)));
    expect(mixed.loss).toBeCloseTo(plain.loss, 6);
    expect(largestDifference(mixed.gradient, plain.gradient)).toBeLessThan(1e-6);
  });

  it('is unbiased on texts of a mixture when importance holds for whole texts', () => {
    // The method keeps one factor of the product; with all of them the expectation is exact.
    const mixture = (text: readonly number[]): number[] => own(text).map((value, place) => 0.8 * value + 0.2 * likelihood(teacher, text)[place]!);
    const windows = positions((text) => product(own(text)), mixture).map((window, index) => {
      const ratios = own(texts[index]!).map((value, place) => value / mixture(texts[index]!)[place]!);
      // p̃ · Π of the other ratios, so that the loss's own makes the whole product.
      return new Map([...window].map(([place, given]) => [place, { ...given, advantage: given.advantage / ratios[place]!, divergenceWeight: given.divergenceWeight / ratios[place]! }] as const));
    });
    expect(largestDifference(evaluate(windows).gradient, exact)).toBeLessThan(1e-6);
  });

  it('is nothing for a student that is the teacher', () => {
    const windows = texts.map((text) => {
      const q = likelihood(teacher, text);
      return new Map(text.map((target, place) => [place, { target, behaviour: Math.log(q[place]!), advantage: 0, divergenceWeight: 1, labelWeight: 0, softWeight: 0 }]));
    });
    const { loss, gradient } = evaluate(windows, 0.2, { student: teacher, teacher });
    expect(Math.abs(loss)).toBeLessThan(1e-6);
    expect(largestDifference(gradient, gradient.map(() => 0))).toBeLessThan(1e-6);
  });

  it('stops pushing where the ratio has left its bounds', () => {
    const [text] = texts;
    const only = (advantage: number, ratio: number) => {
      const window = new Map([[0, { target: text![0]!, behaviour: Math.log(own(text!)[0]! / ratio), advantage, divergenceWeight: 0, labelWeight: 0, softWeight: 0 }]]);
      return evaluate([window, ...texts.slice(1).map(() => new Map<number, PolicyPosition>())], 0.2);
    };
    const pushed = ({ gradient }: { gradient: number[] }): boolean => gradient.some((value) => Math.abs(value) > 1e-7);
    expect(only(2, 1.1).loss).toBeCloseTo(-2.2, 5);
    expect([only(2, 1.1), only(2, 1.5), only(2, 0.5), only(-2, 0.5), only(-2, 0.9), only(-2, 1.5)].map(pushed)).toEqual([true, false, true, false, true, true]);
    expect(only(2, 1.5).loss).toBeCloseTo(-2.4, 5);
    expect(() => policyLoss({ clipRatio: 0 })).toThrow('1 ± 0');
  });

  it('learns tokens and predictions of other texts beside', () => {
    const windows = texts.map((text) => new Map([[0, { target: text[0]!, behaviour: 0, advantage: 0, divergenceWeight: 0, labelWeight: 0.25 / texts.length, softWeight: 0.5 / texts.length }]]));
    const [p, q] = [softmax(teacher, 0), softmax(student, 0)];
    const crossEntropy = q.reduce((sum, value) => sum - Math.log(value), 0) / size;
    const forward = p.reduce((sum, value, index) => sum + value * Math.log(value / q[index]!), 0);
    expect(evaluate(windows).loss).toBeCloseTo(0.25 * crossEntropy + 0.5 * forward, 5);
  });
});

describe('returns', () => {
  const rewards = Float64Array.of(1, 2, 4);
  const of = (options: Partial<ReturnOptions>): number[] => [...textReturns(rewards, { ...paper, ...options })];

  it('sum what follows, or what is left', () => {
    expect(of({})).toEqual([6, 4, 0]);
    expect(of({ of: 'inclusive' })).toEqual([7, 6, 4]);
    expect(of({ of: 'inclusive', discount: 0.5 })).toEqual([3, 4, 4]);
    expect(of({ lengthNormalization: true })).toEqual([3, 4, 0]);
    expect(of({ lengthNormalization: true, of: 'inclusive' })).toEqual([7 / 3, 3, 4]);
    expect([...textReturns(new Float64Array(0), paper)]).toEqual([]);
  });

  it('are whitened over all texts', () => {
    const [first, second] = whiten([Float64Array.of(1, 3), Float64Array.of(5)]);
    const deviation = Math.sqrt(8 / 3);
    expect([...first!, ...second!].map((value) => Math.round(1e6 * value))).toEqual([-2, 0, 2].map((value) => Math.round((1e6 * value) / deviation)));
    expect(whiten([Float64Array.of(2, 2)]).map((one) => [...one])).toEqual([[0, 0]]);
    expect(whiten([])).toEqual([]);
  });
});
