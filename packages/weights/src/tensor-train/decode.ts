import type { HostTensor, TensorTrainWeight } from '@pare/core';
import { coreShapes, trainShape } from './tensor-train-weight.js';

/** Gives rows of a tensor-train matrix back, without the others. */
export interface TrainDecoder {
  /** Writes row `row` [columns] to the start of `into`. Sums are float64, rounded once at the end. */
  decode(row: number, into: Float32Array): void;
}

/**
 * @param values A core's numbers as float32: half-precision ones are converted once, whole.
 */
export function createTrainDecoder(form: TensorTrainWeight, values: (core: HostTensor) => Float32Array): TrainDecoder {
  const shapes = coreShapes(trainShape(form));
  const cores = form.cores.map(values);
  const folded = form.sizes.reduce((product, size) => product * size, 1);
  const widest = shapes.reduce((most, [, , right]) => Math.max(most, right), 1);
  let from = new Float64Array(folded * widest);
  let to = new Float64Array(folded * widest);
  return {
    decode(row, into) {
      from[0] = 1;
      let prefixes = 1;
      // P [∏ I before, r_(k−1)] · G_k [r_(k−1), I_k·r_k], read as [∏ I up to k, r_k].
      for (const [index, [left, size, right]] of shapes.entries()) {
        const core = cores[index]!;
        const width = size * right;
        const start = row * left * width;
        for (let prefix = 0; prefix < prefixes; prefix++) {
          for (let column = 0; column < width; column++) {
            let sum = 0;
            for (let rank = 0; rank < left; rank++) sum += from[prefix * left + rank]! * core[start + rank * width + column]!;
            to[prefix * width + column] = sum;
          }
        }
        prefixes *= size;
        [from, to] = [to, from];
      }
      for (let column = 0; column < form.shape[1]; column++) into[column] = from[column]!;
    },
  };
}
