import type { DType, InputScheme, ModuleInfo, QuantizationScheme, QuantizedWeight, TypedArray } from '@pare/core';
import type { ByteType } from '@pare/model';

/** One of the tensors that a compressed matrix is stored in. */
export interface StoredPart {
  /** Last part of its name: `weight_packed`. */
  readonly part: string;
  readonly dtype: DType;
  /** What the file's header calls the elements where their raw bytes are given (dtype uint8). */
  readonly byteType?: ByteType | undefined;
  readonly shape: readonly number[];
  data(): TypedArray;
}

/** What a configuration needs to know of a compressed matrix. */
export interface SchemeSummary {
  readonly scheme: QuantizationScheme;
  /** True when the columns keep a group index. */
  readonly groupIndex: boolean;
  /** How the layer rounds its inputs, if it does. */
  readonly input?: InputScheme | undefined;
}

/** How a format stores quantized matrices, and what its configuration says of them. */
export interface MatrixLayout {
  /**
   * The tensors of a quantized matrix, described at once and packed on demand.
   * @throws PARE_FORM_UNSUPPORTED for what the layout has no place for. A host asks the format's `refuse` first; a caller that does not gets the same answer here.
   */
  parts(form: QuantizedWeight, info: ModuleInfo): readonly StoredPart[];
  /** The folder's `quantization_config`. @param schemes of the quantized modules by name; at least one */
  config(schemes: ReadonlyMap<string, SchemeSummary>): Readonly<Record<string, unknown>>;
  /** Name of a further file that holds the same account, for older readers. */
  readonly configCopy?: string | undefined;
}
