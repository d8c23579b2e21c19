/* Functions that JavaScript's Math lacks, to about 1e-15. */

/** erf(x) = 2/√π ∫₀ˣ e^(−t²) dt. */
export function erf(x: number): number {
  const magnitude = Math.abs(x);
  if (magnitude > 6) return Math.sign(x); // 1 − erf(6) = 2e-17
  if (magnitude > 3) return Math.sign(x) * (1 - complementTail(magnitude));
  // 2/√π · e^(−x²) · Σ 2ⁿ x^(2n+1) / (1·3·5·…·(2n+1)): all terms of one sign, so nothing cancels.
  const square = x * x;
  let term = x;
  let sum = x;
  for (let n = 1; Math.abs(term) > 1e-17 * Math.abs(sum); n++) {
    term *= (2 * square) / (2 * n + 1);
    sum += term;
  }
  return (2 / Math.sqrt(Math.PI)) * Math.exp(-square) * sum;
}

/** 1 − erf(x) for x > 3: e^(−x²)/√π · 1/(x + (1/2)/(x + (2/2)/(x + (3/2)/(x + …)))). */
function complementTail(x: number): number {
  let fraction = x;
  for (let n = 40; n >= 1; n--) fraction = x + n / 2 / fraction;
  return Math.exp(-x * x) / Math.sqrt(Math.PI) / fraction;
}

/** x · Φ(x) = x/2 · (1 + erf(x/√2)) (Hendrycks & Gimpel, arXiv 1606.08415). */
export function gelu(x: number): number {
  if (x === -Infinity) return 0;
  return 0.5 * x * (1 + erf(x * Math.SQRT1_2));
}

/** x/2 · (1 + tanh(√(2/π) · (x + 0.044715 x³))), the same paper's approximation. */
export function geluTanh(x: number): number {
  if (x === -Infinity) return 0;
  return 0.5 * x * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (x + 0.044715 * x * x * x)));
}

export function sigmoid(x: number): number {
  return 1 / (1 + Math.exp(-x));
}
