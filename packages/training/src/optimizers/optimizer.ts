import { type GraphBuilder, type Value } from '@pare/graph';

/** What one step of an optimizer reads of one parameter. Scalars are [1]. */
export interface OptimizerStep {
  readonly parameter: Value;
  readonly gradient: Value;
  readonly state: readonly Value[];
  readonly scalars: readonly Value[];
  /** Whether weight decay applies. */
  readonly decayed: boolean;
}

/** A rule that turns gradients into new parameters, as a piece of a graph. */
export interface Optimizer {
  /** Equal for rules that build equal graphs. */
  readonly key: string;
  /** Names of the tensors kept for each parameter, of its shape; zeros at first. */
  readonly state: readonly string[];
  /** Numbers that change from step to step. Steps count from 1. */
  scalars(step: number, learningRate: number): readonly number[];
  update(builder: GraphBuilder, step: OptimizerStep): { readonly parameter: Value; readonly state: readonly Value[] };
}

function between(name: string, value: number, low: number, high: number): void {
  if (!(value >= low && value < high)) throw new RangeError(`${name} is ${String(value)}; allowed: from ${String(low)} and below ${String(high)}`);
}

export interface AdamWOptions {
  readonly beta1?: number;
  readonly beta2?: number;
  readonly epsilon?: number;
  readonly weightDecay?: number;
}

/**
 * Adam with decoupled weight decay (Loshchilov & Hutter, arXiv 1711.05101, algorithm 2), in the order of torch's AdamW:
 *
 *   m ← β₁ m + (1 − β₁) g,  v ← β₂ v + (1 − β₂) g²
 *   θ ← (1 − η λ) θ − η / (1 − β₁ᵗ) · m / (√v / √(1 − β₂ᵗ) + ε)
 */
export function adamW({ beta1 = 0.9, beta2 = 0.999, epsilon = 1e-8, weightDecay = 0.01 }: AdamWOptions = {}): Optimizer {
  between('beta1', beta1, 0, 1);
  between('beta2', beta2, 0, 1);
  return {
    key: `adamw ${JSON.stringify([beta1, beta2, epsilon])}`,
    state: ['m', 'v'],
    scalars: (step, rate) => [1 - rate * weightDecay, rate / (1 - beta1 ** step), 1 / Math.sqrt(1 - beta2 ** step)],
    update: (b, { parameter, gradient, state, scalars, decayed }) => {
      const [kept, size, correction] = scalars as [Value, Value, Value];
      const m = b.add(b.mul(state[0]!, beta1), b.mul(gradient, 1 - beta1));
      const v = b.add(b.mul(state[1]!, beta2), b.mul(b.mul(gradient, gradient), 1 - beta2));
      const step = b.div(b.mul(m, size), b.add(b.mul(b.sqrt(v), correction), epsilon));
      return { parameter: b.sub(decayed ? b.mul(parameter, kept) : parameter, step), state: [m, v] };
    },
  };
}

export interface SgdOptions {
  readonly momentum?: number;
  /** Looks a step ahead (Sutskever et al., 2013). */
  readonly nesterov?: boolean;
  readonly weightDecay?: number;
}

/** Stochastic gradient descent as torch has it: d = g + λ θ, m ← μ m + d, θ ← θ − η m, or with Nesterov's momentum θ ← θ − η (d + μ m). */
export function sgd({ momentum = 0, nesterov = false, weightDecay = 0 }: SgdOptions = {}): Optimizer {
  between('momentum', momentum, 0, 1);
  return {
    key: `sgd ${JSON.stringify([momentum, nesterov, weightDecay])}`,
    state: momentum === 0 ? [] : ['m'],
    scalars: (_step, rate) => [rate],
    update: (b, { parameter, gradient, state, scalars, decayed }) => {
      const descent = decayed && weightDecay !== 0 ? b.add(gradient, b.mul(parameter, weightDecay)) : gradient;
      if (momentum === 0) return { parameter: b.sub(parameter, b.mul(descent, scalars[0]!)), state: [] };
      const m = b.add(b.mul(state[0]!, momentum), descent);
      const step = nesterov ? b.add(descent, b.mul(m, momentum)) : m;
      return { parameter: b.sub(parameter, b.mul(step, scalars[0]!)), state: [m] };
    },
  };
}
