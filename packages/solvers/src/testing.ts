import { createRandom } from '@pare/core';
import type { ColumnRule } from './column-rule.js';

/** Random correlated inputs [tokens, size] and their Gram matrix. */
export function correlatedInputs(size: number, tokens: number, seed: number): { inputs: Float64Array; gram: Float64Array } {
  const random = createRandom(seed);
  const directions = Math.max(2, size >> 2);
  const mixing = Float64Array.from({ length: directions * size }, () => random() - 0.5);
  const inputs = new Float64Array(tokens * size);
  for (let token = 0; token < tokens; token++) {
    const hidden = Float64Array.from({ length: directions }, () => random() + random() - 1);
    for (let column = 0; column < size; column++) {
      let sum = (random() - 0.5) * 0.3;
      for (let d = 0; d < directions; d++) sum += hidden[d]! * mixing[d * size + column]!;
      inputs[token * size + column] = sum;
    }
  }
  return { inputs, gram: gramOf(inputs, size) };
}

/** Σ x xᵀ. */
export function gramOf(inputs: Float64Array, size: number): Float64Array {
  const gram = new Float64Array(size * size);
  for (let token = 0; token < inputs.length / size; token++) {
    for (let i = 0; i < size; i++) {
      for (let j = 0; j < size; j++) gram[i * size + j]! += inputs[token * size + i]! * inputs[token * size + j]!;
    }
  }
  return gram;
}

export function identity(size: number): Float64Array {
  return Float64Array.from({ length: size * size }, (_, index) => (index % (size + 1) === 0 ? 1 : 0));
}

export function randomWeight(rows: number, size: number, seed: number): Float32Array {
  const random = createRandom(seed);
  return Float32Array.from({ length: rows * size }, () => random() + random() - 1);
}

/** Δ H Δᵀ of each row for the change Δ = after − before and a Hessian [size, size]. */
export function objective(before: Float32Array, after: Float32Array, hessian: Float64Array, size: number): Float64Array {
  return Float64Array.from({ length: before.length / size }, (_, row) => {
    let sum = 0;
    for (let i = 0; i < size; i++) {
      const change = after[row * size + i]! - before[row * size + i]!;
      for (let j = 0; j < size; j++) sum += change * hessian[i * size + j]! * (after[row * size + j]! - before[row * size + j]!);
    }
    return sum;
  });
}

/** The Hessian that a factor with this damping belongs to, natural order. */
export function damped(gram: Float64Array, size: number, damping: number, scale = 1): Float64Array {
  const hessian = gram.map((value) => value * scale);
  let mean = 0;
  for (let i = 0; i < size; i++) {
    if (hessian[i * size + i] === 0) hessian[i * size + i] = 1;
    mean += hessian[i * size + i]! / size;
  }
  for (let i = 0; i < size; i++) hessian[i * size + i]! += damping * mean;
  return hessian;
}

/** A rule made of a function of the settled column; collects the values, [rows, size] in natural order. */
export function valueRule(
  id: string,
  settle: (position: number, weights: Float32Array, settled: Float32Array) => void,
  options: { lookahead?: (position: number) => number; observe?: (position: number, columns: Float32Array, count: number) => void } = {},
): ColumnRule<Float32Array> {
  return {
    id,
    begin({ rows, size, order }) {
      const values = new Float32Array(rows * size);
      return {
        lookahead: options.lookahead ?? (() => 0),
        observe: options.observe ?? (() => undefined),
        settle(position, weights, settled) {
          settle(position, weights, settled);
          for (let row = 0; row < rows; row++) values[row * size + order[position]!] = settled[row]!;
        },
        finish: () => values,
      };
    },
  };
}
