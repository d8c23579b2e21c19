import type { Activation, MlpDescription } from '@pare/core';
import type { Value } from '@pare/graph';
import type { DecoderScope, RoutedRows } from './scope.js';

/**
 * How a mixture runs its experts. `routed`: each on the tokens that chose it; counts are known only when the graph runs. `all`: each on every token, weighted by 0 where it
 * was not chosen; for runtimes that need shapes beforehand.
 */
export type ExpertMode = 'routed' | 'all';

/** The feed-forward half of a block: x [batch, positions, hidden] → same shape. */
export function addMlp(scope: DecoderScope, mlp: MlpDescription, x: Value, experts: ExpertMode): Value {
  switch (mlp.kind) {
    case 'plain':
      return scope.linear(addActivation(scope, mlp.activation, scope.linear(x, mlp.up)), mlp.down);
    case 'gated':
      return addGated(scope, mlp, x);
    case 'gated-fused': {
      const inner = mlp.down.inFeatures;
      const [gate, up] = scope.builder.split(scope.linear(x, mlp.gateUp), -1, [inner, inner]);
      return scope.linear(scope.builder.mul(addActivation(scope, mlp.activation, gate!), up!), mlp.down);
    }
    case 'moe':
      return addMixture(scope, mlp, x, experts);
  }
}

type Mixture = Extract<MlpDescription, { kind: 'moe' }>;
type Expert = Mixture['experts'][number];

/** (act(x·Gᵀ) ⊙ x·Uᵀ)·Dᵀ: Shazeer, arXiv 2002.05202. */
function addGated(scope: DecoderScope, layers: Expert & { readonly activation: Activation }, x: Value, routed?: RoutedRows): Value {
  const gate = addActivation(scope, layers.activation, scope.linear(x, layers.gate, routed));
  return scope.linear(scope.builder.mul(gate, scope.linear(x, layers.up, routed)), layers.down, routed);
}

export function addActivation({ builder }: DecoderScope, activation: Activation, x: Value): Value {
  switch (activation) {
    case 'silu':
      return builder.mul(x, builder.sigmoid(x));
    case 'relu':
      return builder.relu(x);
    case 'gelu':
      return builder.op('Gelu', [x]);
    case 'gelu-tanh':
      return builder.op('Gelu', [x], { approximate: 'tanh' });
  }
}

/**
 * Mixture of experts with softmax routing: p = softmax(x·Rᵀ); the `expertsPerToken` likeliest experts of a token are run and their outputs summed with weights p, or p over
 * the sum of the chosen p (Qwen3, arXiv 2505.09388; Mixtral, arXiv 2401.04088, §2.1).
 */
function addMixture(scope: DecoderScope, mlp: Mixture, x: Value, mode: ExpertMode): Value {
  const { builder } = scope;
  const hidden = mlp.router.inFeatures;
  const each = mlp.experts.map(() => 1);
  const tokens = builder.reshape(x, [-1, hidden]);

  // Probabilities in float32: their order decides which experts run.
  const probabilities = builder.softmax(builder.cast(scope.linear(tokens, mlp.router), 'float32'), -1);
  const [likeliest, chosen] = builder.node('TopK', [probabilities, builder.int64([mlp.expertsPerToken])], { axis: -1, largest: 1, sorted: 1 }, { outputs: 2 });
  const shares = mlp.normalizeProbabilities ? builder.div(likeliest!, builder.reduceSum(likeliest!, [-1], true)) : likeliest!;
  const zeros = builder.mul(probabilities, 0);
  const weights = builder.cast(builder.op('ScatterElements', [zeros, chosen!, shares], { axis: 1 }), scope.dtype);
  const ones = builder.add(builder.mul(shares, 0), 1);
  const members = builder.op('ScatterElements', [zeros, chosen!, ones], { axis: 1 });
  const weightOf = builder.split(weights, 1, each);
  const membersOf = builder.split(members, 1, each);

  let sum: Value | undefined;
  for (const [index, expert] of mlp.experts.entries()) {
    const layers = { ...expert, activation: mlp.activation };
    const weight = weightOf[index]!; // [tokens, 1]
    const mask = membersOf[index]!; // [tokens, 1], 1 where chosen
    const count = builder.cast(builder.reduceSum(mask, [0], false), 'int64');
    if (mode === 'all') {
      const output = builder.mul(addGated(scope, layers, tokens, { count, mask }), weight);
      sum = sum === undefined ? output : builder.add(sum, output);
    } else {
      // Summed in float32, which every runtime can scatter.
      sum ??= builder.mul(builder.cast(tokens, 'float32'), 0);
      // The largest `count` entries of a column of ones and zeros are where its ones stand.
      const [, rows] = builder.node('TopK', [builder.squeeze(mask, [1]), count], { axis: 0, largest: 1, sorted: 1 }, { outputs: 2 });
      const output = builder.mul(addGated(scope, layers, builder.gather(tokens, rows!, 0), { count, mask: undefined }), builder.gather(weight, rows!, 0));
      sum = builder.op('ScatterND', [sum, builder.unsqueeze(rows!, [1]), builder.cast(output, 'float32')], { reduction: 'add' });
    }
  }
  return builder.reshape(builder.cast(sum!, scope.dtype), [builder.shapeOf(x, 0, 2), hidden]);
}
