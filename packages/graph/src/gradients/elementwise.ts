import { type Value } from '../builder.js';
import { type GradientContext, type GradientRule } from './rule.js';

/* Operators that act on each element. Broadcast inputs: the transformation sums over the axes along which an input was repeated. */

/** ∂y/∂x · g of one input x with output y. */
const unary =
  (rule: (context: GradientContext, x: Value, y: Value, g: Value) => Value): GradientRule =>
  (context) => [() => rule(context, context.input(0), context.outputs[0]!, context.gradient)];

/** Φ(x) + x·φ(x), the derivative of x·Φ(x), with Φ and φ the standard normal distribution and its density (Hendrycks & Gimpel, arXiv 1606.08415, §2). */
export function geluDerivative({ builder: b }: GradientContext, x: Value): Value {
  const distribution = b.mul(b.add(b.erf(b.mul(x, Math.SQRT1_2)), 1), 0.5);
  const density = b.mul(b.exp(b.mul(b.mul(x, x), -0.5)), 1 / Math.sqrt(2 * Math.PI));
  return b.add(distribution, b.mul(x, density));
}

/** Derivative of ½x(1 + tanh u), u = √(2/π)(x + 0.044715x³): ½(1 + tanh u) + ½x(1 − tanh² u)·√(2/π)(1 + 3·0.044715x²). */
export function tanhGeluDerivative({ builder: b }: GradientContext, x: Value): Value {
  const scale = Math.sqrt(2 / Math.PI);
  const cubic = 0.044715;
  const square = b.mul(x, x);
  const t = b.tanh(b.mul(x, b.add(b.mul(square, cubic * scale), scale)));
  const slope = b.add(b.mul(square, 3 * cubic * scale), scale);
  return b.mul(b.add(b.add(t, 1), b.mul(b.mul(x, b.sub(1, b.mul(t, t))), slope)), 0.5);
}

const pow: GradientRule = (context) => {
  const { builder: b, gradient: g } = context;
  const [x, exponent, y] = [context.input(0), context.input(1), context.outputs[0]!];
  const known = context.numbers(1);
  const base = (): Value => {
    if (known?.length === 1) {
      const n = known[0]!;
      return b.mul(g, n === 2 ? b.mul(x, 2) : b.mul(b.pow(x, n - 1), n));
    }
    const n = b.cast(exponent, x.dtype);
    return b.mul(g, b.mul(n, b.pow(x, b.sub(n, 1))));
  };
  // ∂xⁿ/∂n = xⁿ ln x, taken as 0 where x is not positive.
  const power = (): Value => {
    const positive = b.greater(x, 0);
    const slope = b.mul(y, b.log(b.where(positive, x, 1)));
    return b.cast(b.mul(g, b.where(positive, slope, 0)), exponent.dtype);
  };
  return [base, power];
};

/** The gradient goes to the inputs that are the extremum, in equal parts where several are. */
const extremum: GradientRule = (context) => {
  const { builder: b, gradient: g, inputs } = context;
  const y = context.outputs[0]!;
  const isChosen = (x: Value): Value => b.cast(b.equal(x, y), y.dtype);
  const count = (): Value => inputs.map((x) => isChosen(x!)).reduce((left, right) => b.add(left, right));
  return inputs.map((x) => () => b.div(b.mul(g, isChosen(x!)), count()));
};

/** Passes where min ≤ x ≤ max. A bound gets the gradient of what it replaced. */
const clip: GradientRule = (context) => {
  const { builder: b, gradient: g, inputs } = context;
  const x = context.input(0);
  const bound = (index: 1 | 2, name: string): Value | number | undefined => inputs[index] ?? (context.attribute(name) as number | undefined);
  const [low, high] = [bound(1, 'min'), bound(2, 'max')];
  const below = (): Value => b.less(x, low!);
  const above = (): Value => b.greater(x, high!);
  const raised = (): Value => (low === undefined ? x : b.op('Max', [x, typeof low === 'number' ? b.scalar(low, x.dtype) : low]));
  return [
    () => {
      const lower = low === undefined ? g : b.where(below(), 0, g);
      return high === undefined ? lower : b.where(above(), 0, lower);
    },
    () => {
      const kept = b.where(below(), g, 0);
      return high === undefined ? kept : b.where(b.greater(raised(), high), 0, kept);
    },
    () => b.where(b.greater(raised(), high!), g, 0),
  ];
};

const same: GradientRule = ({ inputs, gradient }) => inputs.map(() => () => gradient);
/** Rounding and signs: zero wherever the derivative exists. */
const flat: GradientRule = () => [];

export const elementwiseGradients: Readonly<Record<string, GradientRule>> = {
  '::Abs': unary(({ builder: b }, x, _, g) => b.mul(g, b.op('Sign', [x]))),
  '::Neg': unary(({ builder: b }, _x, _y, g) => b.neg(g)),
  '::Sign': flat,
  '::Round': flat,
  '::Exp': unary(({ builder: b }, _, y, g) => b.mul(g, y)),
  '::Log': unary(({ builder: b }, x, _, g) => b.div(g, x)),
  '::Sqrt': unary(({ builder: b }, _, y, g) => b.div(g, b.mul(y, 2))),
  '::Reciprocal': unary(({ builder: b }, _, y, g) => b.neg(b.mul(g, b.mul(y, y)))),
  '::Sin': unary(({ builder: b }, x, _, g) => b.mul(g, b.op('Cos', [x]))),
  '::Cos': unary(({ builder: b }, x, _, g) => b.neg(b.mul(g, b.op('Sin', [x])))),
  '::Tanh': unary(({ builder: b }, _, y, g) => b.mul(g, b.sub(1, b.mul(y, y)))),
  '::Sigmoid': unary(({ builder: b }, _, y, g) => b.mul(g, b.mul(y, b.sub(1, y)))),
  '::Erf': unary(({ builder: b }, x, _, g) => b.mul(g, b.mul(b.exp(b.neg(b.mul(x, x))), 2 / Math.sqrt(Math.PI)))),
  '::Relu': unary(({ builder: b }, _, y, g) => b.where(b.greater(y, 0), g, 0)),
  '::Gelu': unary((context, x, _, g) => context.builder.mul(g, context.string('approximate') === 'tanh' ? tanhGeluDerivative(context, x) : geluDerivative(context, x))),
  '::Identity': same,
  '::Cast': unary(({ builder: b }, x, _, g) => b.cast(g, x.dtype)),
  '::Clip': clip,
  '::Add': same,
  '::Sum': same,
  '::Sub': ({ builder: b, gradient: g }) => [() => g, () => b.neg(g)],
  '::Mul': (context) => [() => context.builder.mul(context.gradient, context.input(1)), () => context.builder.mul(context.gradient, context.input(0))],
  '::Div': (context) => {
    const { builder: b, gradient: g } = context;
    const share = (): Value => b.div(g, context.input(1));
    return [share, () => b.neg(b.mul(share(), context.outputs[0]!))];
  },
  // x mod y = x − y·n with the integer n = (x − x mod y) / y.
  '::Mod': (context) => {
    const { builder: b, gradient: g } = context;
    const turns = (): Value => b.op('Round', [b.div(b.sub(context.input(0), context.outputs[0]!), context.input(1))]);
    return [() => g, () => b.neg(b.mul(g, turns()))];
  },
  '::Pow': pow,
  '::Max': extremum,
  '::Min': extremum,
  '::Where': (context) => {
    const { builder: b, gradient: g } = context;
    return [undefined, () => b.where(context.input(0), g, 0), () => b.where(context.input(0), 0, g)];
  },
};
