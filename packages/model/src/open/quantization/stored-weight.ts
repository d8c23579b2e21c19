import type { DType, InputScheme, QuantizedWeight } from '@pare/core';
import type { PlannedModule } from '../contents.js';
import type { PartsReader } from './parts-reader.js';

/** The stored parts of one compressed matrix, checked against each other. */
export interface StoredWeight {
  readonly shape: readonly [number, number];
  /** Type that the dense matrix would have. */
  readonly dtype: DType;
  /** How the layer rounds its inputs, if it does. */
  readonly input?: InputScheme | undefined;
  /** Bytes of all parts. */
  readonly bytes: number;
  /** Reads the parts. @throws PARE_WEIGHT_NOT_FINITE, PARE_MODEL_TENSOR_SHAPE */
  read(signal?: AbortSignal): Promise<QuantizedWeight>;
}

/** How a folder stores compressed weights, by its configuration. */
export interface StoredQuantization {
  /**
   * The compressed weight of a module, or undefined when it is stored dense.
   * @param dense type of the folder's dense weights
   * @throws PARE_QUANTIZATION_UNSUPPORTED, PARE_MODEL_TENSOR_MISSING, PARE_MODEL_TENSOR_SHAPE
   */
  find(parts: PartsReader, module: PlannedModule, dense: DType): StoredWeight | undefined;
}
