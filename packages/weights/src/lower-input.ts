import { hostTensor, type InputQuantization, type InputScheme } from '@pare/core';
import type { GraphBuilder, Value } from '@pare/graph';
import { largestInputCode, leastAbsMax } from './input-quantization.js';

/** The numbers of a static grid in a graph. */
export interface StaticInputValues {
  /** float32 []. */
  readonly scale: Value;
  /** int8 []; absent for a grid around zero. */
  readonly zero: Value | undefined;
}

/** The numbers of a static grid as constants; undefined for a dynamic one. */
export function staticInputConstants(builder: GraphBuilder, { scale, zero }: InputQuantization): StaticInputValues | undefined {
  if (scale === undefined) return undefined;
  return { scale: builder.scalar(scale), zero: zero === undefined ? undefined : builder.constant(hostTensor('int8', [], Int8Array.of(zero))) };
}

/** Adds the rounding of inputs to a graph: once for all layers that read one value on one grid, such as the projections of an attention. */
export class InputRounding {
  readonly #builder: GraphBuilder;
  readonly #rounded = new Map<string, Value>();

  constructor(builder: GraphBuilder) {
    this.#builder = builder;
  }

  /**
   * Inputs x [..., in] float32 after rounding, of the same shape and type.
   * @param values needed for static grids
   */
  round(x: Value, scheme: InputScheme, values?: StaticInputValues): Value {
    if (scheme.dynamic) return this.#once(x.name, () => this.#dynamic(x));
    if (values === undefined) throw new RangeError('a static grid needs its scale');
    return this.#once([x.name, values.scale.name, values.zero?.name].join(' '), () => this.#static(x, values));
  }

  #once(key: string, add: () => Value): Value {
    const value = this.#rounded.get(key) ?? add();
    this.#rounded.set(key, value);
    return value;
  }

  #dynamic(x: Value): Value {
    const { codes, scale } = addTokenCodes(this.#builder, x);
    return this.#builder.mul(codes, scale);
  }

  #static(x: Value, values: StaticInputValues): Value {
    const { scale } = values;
    const zero = values.zero ?? this.#builder.constant(hostTensor('int8', [], Int8Array.of(0)));
    return this.#builder.op('DequantizeLinear', [this.#builder.op('QuantizeLinear', [x, scale, zero]), scale, zero]);
  }
}

/** Rows of inputs x [..., in] float32 on grids of their own: codes, whole numbers −127 … 127 in float32, and scales [..., 1]. */
export function addTokenCodes(builder: GraphBuilder, x: Value): { readonly codes: Value; readonly scale: Value } {
  const absMax = builder.reduceMax(builder.op('Abs', [x]), [-1], true);
  const scale = builder.div(builder.op('Max', [absMax, builder.scalar(leastAbsMax)]), largestInputCode);
  // |x| / scale exceeds 127 by the rounding of a division at most, so rounding to whole numbers needs no clamp.
  return { codes: builder.op('Round', [builder.div(x, scale)]), scale };
}
