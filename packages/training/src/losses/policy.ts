import { hostTensor, type HostTensor } from '@pare/core';
import { type Value } from '@pare/graph';
import { addForwardDivergence, addReverseDivergence } from './divergences.js';
import { type Loss } from './loss.js';

export interface PolicyLossOptions {
  /** ε: ratios beyond 1 ± ε are cut off where that would gain (PPO, arXiv 1707.06347, eq. 7). */
  readonly clipRatio: number;
}

/**
 * The loss of MiniLLM (arXiv 2306.08543, §2.2) on texts that were drawn from p̃, a mixture of teacher p and student q, and on texts that are learnt as they stand:
 *
 *   Σ max(−A ρ, −A clip(ρ, 1 − ε, 1 + ε)) with ρ = q(y) / p̃(y)      the long part: A is what the rest of the text earned
 * + Σ d KL(q ‖ p)                                                     the single-step part, exact over the vocabulary
 * + Σ c (−log q(y)) + Σ s KL(p ‖ q)                                   language modelling, on tokens and on the teacher's predictions
 *
 * Inputs are `teacher` float32 [batch, length, vocabulary], its logits; `targets` int64 and the others float32 [batch, length, 1]: `behaviour` ln p̃(y), `advantages` A, `divergenceWeights` d,
 * `labelWeights` c, `softWeights` s. Weights hold importance, masks and averages; positions that do not count have 0 everywhere. Metrics: `policy`, `divergence` and `language`, the three sums.
 */
export function policyLoss({ clipRatio }: PolicyLossOptions): Loss {
  if (!(clipRatio > 0)) throw new RangeError(`the ratio is clipped at 1 ± ${String(clipRatio)}; allowed: positive numbers`);
  return {
    key: `policy ${String(clipRatio)}`,
    build: (builder, logits, { input }) => {
      const [batch, length] = logits.shape as [string, number];
      const each = (name: string): Value => input(name, 'float32', [batch, length, 1]);
      const logarithms = (values: Value): Value => builder.op('LogSoftmax', [values], { axis: -1 });
      const [p, q] = [logarithms(input('teacher', 'float32', logits.shape!)), logarithms(logits)];
      const chosen = builder.op('GatherElements', [q, input('targets', 'int64', [batch, length, 1])], { axis: 2 });
      const sum = (weights: Value, values: Value): Value => builder.reduceSum(builder.mul(weights, values));

      const cost = builder.neg(each('advantages'));
      const ratio = builder.exp(builder.sub(chosen, each('behaviour')));
      const clipped = builder.op('Clip', [ratio, builder.scalar(1 - clipRatio), builder.scalar(1 + clipRatio)]);
      const policy = builder.reduceSum(builder.op('Max', [builder.mul(cost, ratio), builder.mul(cost, clipped)]));
      const divergence = sum(each('divergenceWeights'), addReverseDivergence(builder, p, q));
      const language = builder.add(sum(each('labelWeights'), builder.neg(chosen)), sum(each('softWeights'), addForwardDivergence(builder, p, q)));
      return { loss: builder.add(builder.add(policy, divergence), language), metrics: { policy, divergence, language } };
    },
  };
}

/** What `policyLoss` is given at one position. */
export interface PolicyPosition {
  /** The token that is drawn or learnt there. */
  readonly target: number;
  readonly behaviour: number;
  readonly advantage: number;
  readonly divergenceWeight: number;
  readonly labelWeight: number;
  readonly softWeight: number;
}

/** Inputs of `policyLoss` but the teacher's. @param positions of each window by the place of the logits that predict; those left out do not count */
export function policyInputs(windows: readonly ReadonlyMap<number, PolicyPosition>[], length: number): Record<string, HostTensor> {
  const shape = [windows.length, length, 1];
  const targets = new BigInt64Array(windows.length * length);
  const names = { behaviour: 'behaviour', advantage: 'advantages', divergenceWeight: 'divergenceWeights', labelWeight: 'labelWeights', softWeight: 'softWeights' } as const;
  const values = Object.entries(names).map(([field, name]) => ({ field: field as keyof typeof names, name, data: new Float32Array(targets.length) }));
  for (const [window, positions] of windows.entries()) {
    for (const [position, given] of positions) {
      const at = window * length + position;
      targets[at] = BigInt(given.target);
      for (const { field, data } of values) data[at] = given[field];
    }
  }
  return { targets: hostTensor('int64', shape, targets), ...Object.fromEntries(values.map(({ name, data }) => [name, hostTensor('float32', shape, data)])) };
}
