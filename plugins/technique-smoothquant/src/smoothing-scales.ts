/** Least magnitude that inputs and weights count with, and least scale (reference code, `smooth.py`). */
const least = 1e-5;

/**
 * s_j = a_j^α / w_j^(1−α) for the largest magnitudes a of an input's channels and w of the weights that are multiplied by them (arXiv 2211.10438, eq. 4). Dividing the input by s and
 * multiplying the weights leaves a_j^(1−α)·w_j^(1−α) of inputs and a_j^α·w_j^α of weights. A channel that is always zero, or that all weights ignore, has scale 1.
 */
export function smoothingScales(inputs: Float32Array, weights: Float32Array, strength: number): Float64Array {
  return Float64Array.from(inputs, (input, channel) => {
    const weight = weights[channel]!;
    if (input === 0 || weight === 0) return 1;
    return Math.max(least, Math.max(least, input) ** strength / Math.max(least, weight) ** (1 - strength));
  });
}
