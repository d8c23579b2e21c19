/** One file to write: `onnx/model<suffix>.onnx`. */
export interface Variant {
  /** Name of the variant in transformers.js. */
  readonly dtype: DtypeName;
  readonly suffix: string;
  /** Type of the computation and of everything that is not packed. */
  readonly float: 'float32' | 'float16';
  /** True when quantized modules stay packed; otherwise they are multiplied out. */
  readonly packed: boolean;
}

export const dtypeNames = ['fp32', 'fp16', 'q8', 'q4', 'q4f16', 'q2', 'q2f16'] as const;

export type DtypeName = (typeof dtypeNames)[number];

/** Suffixes as in transformers.js, `utils/dtypes.js`. */
const variants: Readonly<Record<DtypeName, Variant>> = {
  fp32: { dtype: 'fp32', suffix: '', float: 'float32', packed: false },
  fp16: { dtype: 'fp16', suffix: '_fp16', float: 'float16', packed: false },
  q8: { dtype: 'q8', suffix: '_quantized', float: 'float32', packed: true },
  q4: { dtype: 'q4', suffix: '_q4', float: 'float32', packed: true },
  q4f16: { dtype: 'q4f16', suffix: '_q4f16', float: 'float16', packed: true },
  q2: { dtype: 'q2', suffix: '_q2', float: 'float32', packed: true },
  q2f16: { dtype: 'q2f16', suffix: '_q2f16', float: 'float16', packed: true },
};

/** Path of a variant's file relative to the output folder. */
export function variantFile({ suffix }: Variant): string {
  return `onnx/model${suffix}.onnx`;
}

/**
 * The files that a request means for a model whose quantized modules have codes of these widths (any order, repetitions welcome). `auto` goes by the narrowest modules: 4-bit
 * models often keep a few at 8 bits, and are called q4 all the same.
 */
export function resolveVariants(requested: readonly (DtypeName | 'auto')[], widths: Iterable<number>): Variant[] {
  const all = [...widths];
  const widest = Math.max(0, ...all);
  const narrowest = Math.min(8, ...all);
  const automatic: DtypeName = all.length === 0 ? 'fp32' : widest <= 2 ? 'q2' : narrowest <= 4 ? 'q4' : 'q8';
  return [...new Set(requested.map((name) => (name === 'auto' ? automatic : name)))].map((name) => variants[name]);
}
