import { geluDerivative, tanhGeluDerivative } from './elementwise.js';
import { type GradientRule } from './rule.js';

/* Operators of onnxruntime beyond the standard. */

const domain = 'com.microsoft';

/** y = ½z(1 + tanh …) of z = x + bias. */
const fastGelu: GradientRule = (context) => {
  const { builder: b, gradient: g, inputs } = context;
  const sum = inputs[1] === undefined ? context.input(0) : b.add(context.input(0), inputs[1]);
  const rule = (): ReturnType<typeof b.mul> => b.mul(g, tanhGeluDerivative(context, sum));
  return [rule, rule];
};

export const microsoftGradients: Readonly<Record<string, GradientRule>> = {
  'com.microsoft::Gelu': (context) => [() => context.builder.mul(context.gradient, geluDerivative(context, context.input(0)))],
  'com.microsoft::FastGelu': fastGelu,
  // x·σ(αx): σ + αx·σ(1 − σ)
  'com.microsoft::QuickGelu': (context) => [
    () => {
      const { builder: b, gradient: g } = context;
      const scaled = b.mul(context.input(0), context.float('alpha'));
      const s = b.sigmoid(scaled);
      return b.mul(g, b.mul(s, b.add(b.mul(scaled, b.sub(1, s)), 1)));
    },
  ],
  // A rotation is undone by the opposite angle.
  'com.microsoft::RotaryEmbedding': (context) => [
    () => {
      const { builder: b, gradient: g, node } = context;
      return b.op('RotaryEmbedding', [g, context.input(1), context.input(2), b.neg(context.input(3))], node.attributes, { domain });
    },
  ],
};
