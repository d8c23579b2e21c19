import { dtypeBytes, elementCount, pareError, type DType, type HostTensor, type QuantizationScheme, type QuantizedWeight } from '@pare/core';
import { denseFloat32 } from '@pare/weights';
import { requireFinite } from '../../store/finite.js';
import type { ByteType } from '../../store/dtypes.js';
import type { TensorStore } from '../../store/tensor-store.js';
import type { StoredName } from '../names.js';

/** The tensors `<module>.<part>` of one compressed matrix: checks what is there against what a layout wants. */
export class PartsReader {
  readonly #store: TensorStore;
  readonly #stored: StoredName;
  readonly #module: string;
  bytes = 0;

  constructor(store: TensorStore, stored: StoredName, module: string) {
    this.#store = store;
    this.#stored = stored;
    this.#module = module;
  }

  name(part: string): string {
    return this.#stored(`${this.#module}.${part}`);
  }

  has(part: string): boolean {
    return this.#store.has(this.name(part));
  }

  dtype(part: string): DType | undefined {
    return this.has(part) ? this.#store.info(this.name(part)).dtype : undefined;
  }

  /**
   * Checks a part's type and shape, counts its bytes and returns its type.
   * @param byteType the type by its name in the file where elements are held as raw bytes
   */
  require(part: string, dtypes: readonly DType[], shapes: readonly (readonly number[])[], byteType?: ByteType): DType {
    const name = this.name(part);
    const expected = `${byteType ?? dtypes.join(' or ')} ${shapes.map((shape) => `[${shape.join(', ')}]`).join(' or ')}`;
    if (!this.#store.has(name)) throw pareError('PARE_MODEL_TENSOR_MISSING', { file: this.#store.directory, tensor: name, expected });
    const info = this.#store.info(name);
    const { dtype, shape } = info;
    const fits = dtypes.includes(dtype) && info.byteType === byteType && shapes.some((allowed) => allowed.length === shape.length && allowed.every((size, axis) => size === shape[axis]));
    if (!fits) throw this.mismatch(part, `${info.byteType ?? dtype} [${shape.join(', ')}]`, expected);
    this.bytes += dtypeBytes(dtype, elementCount(shape));
    return dtype;
  }

  /** The same for scales, which are floats. */
  requireScales(part: string, shapes: readonly (readonly number[])[]): QuantizedWeight['scaleType'] {
    return this.require(part, ['float32', 'float16', 'bfloat16'], shapes) as QuantizedWeight['scaleType'];
  }

  read(part: string, signal: AbortSignal | undefined): Promise<HostTensor> {
    return this.#store.read(this.name(part), signal);
  }

  /** @throws PARE_WEIGHT_NOT_FINITE */
  async readScales(part: string, signal: AbortSignal | undefined): Promise<Float32Array> {
    const tensor = await this.read(part, signal);
    requireFinite(this.name(part), tensor);
    return denseFloat32({ form: 'dense', shape: tensor.shape, tensor });
  }

  /** @throws PARE_MODEL_TENSOR_SHAPE for groups that there are not */
  async readGroupIndex(part: string, groups: number, signal: AbortSignal | undefined): Promise<Int32Array> {
    const index = Int32Array.from((await this.read(part, signal)).data as Int32Array, Number);
    const bad = index.find((group) => group < 0 || group >= groups);
    if (bad !== undefined) throw this.mismatch(part, `an index with group ${String(bad)}`, `an index into ${String(groups)} groups`);
    return index;
  }

  /** The index into grids that columns of a grouped matrix may have; checked now, read later. */
  findGroupIndex({ granularity, groupSize }: QuantizationScheme, columns: number): (signal: AbortSignal | undefined) => Promise<Int32Array | undefined> {
    const part = 'weight_g_idx';
    if (granularity !== 'group' || !this.has(part)) return () => Promise.resolve(undefined);
    this.require(part, ['int32', 'int64'], [[columns]]);
    return (signal) => this.readGroupIndex(part, Math.ceil(columns / groupSize), signal);
  }

  mismatch(part: string, found: string, expected: string): Error {
    const tensor = this.name(part);
    return pareError('PARE_MODEL_TENSOR_SHAPE', { file: this.#store.fileOf(tensor), tensor, found, expected });
  }
}
