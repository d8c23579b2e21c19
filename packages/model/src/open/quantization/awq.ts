import { fromAwqOrder, symmetricZero, transposeArray, unpackRows } from '@pare/weights';
import type { ConfigFields } from './config-fields.js';
import type { PartsReader } from './parts-reader.js';
import type { StoredQuantization, StoredWeight } from './stored-weight.js';

/** Bits of a code, the only ones of this layout. */
const bits = 4;

/**
 * Reads the account of an AWQ folder in the GEMM layout (AutoAWQ; transformers' `AwqConfig`), in the spellings of either. Which modules are compressed their tensors say.
 * @throws PARE_QUANTIZATION_UNSUPPORTED
 */
export function readAwqConfig(fields: ConfigFields): StoredQuantization {
  fields.read(['bits', 'w_bit'], bits, (found) => found === bits, '4');
  const isGemm = (found: unknown): boolean => typeof found === 'string' && found.toLowerCase() === 'gemm';
  fields.read(['version', 'checkpoint_format', 'format'], 'gemm', isGemm, '"gemm"');
  const groupSize = fields.read<number>(['group_size', 'q_group_size'], 128, (found) => found === -1 || (Number.isInteger(found) && (found as number) > 0), '-1 or a positive whole number');
  return {
    find(parts, { shape }, dense) {
      return parts.has('qweight') ? findAwqWeight(parts, shape, groupSize, dense) : undefined;
    },
  };
}

/**
 * The parts of a matrix [out, in]: `qweight` int32 [in, out/8] and `qzeros` int32 [G, out/8], fields along the outputs in AWQ's order; `scales` [G, out]. Folders without zero
 * points have no `qzeros`.
 */
function findAwqWeight(parts: PartsReader, shape: readonly [number, number], stated: number, dtype: StoredWeight['dtype']): StoredWeight {
  const [rows, columns] = shape;
  const groupSize = stated === -1 || stated >= columns ? columns : stated;
  const groups = Math.ceil(columns / groupSize);
  parts.require('qweight', ['int32'], [[columns, rows / 8]]);
  const hasZeros = parts.has('qzeros');
  if (hasZeros) parts.require('qzeros', ['int32'], [[groups, rows / 8]]);
  const scaleType = parts.requireScales('scales', [[groups, rows]]);
  /** Fields [height, out] as values [out, height]. */
  const read = async (part: string, height: number, signal: AbortSignal | undefined): Promise<Uint8Array> =>
    transposeArray(fromAwqOrder(unpackRows((await parts.read(part, signal)).data as Int32Array, [height, rows], bits)), height, rows);
  return {
    shape,
    dtype,
    bytes: parts.bytes,
    async read(signal) {
      const zeros = hasZeros ? await read('qzeros', groups, signal) : undefined;
      const symmetric = zeros?.every((zero) => zero === symmetricZero(bits)) ?? true;
      return {
        form: 'quantized',
        shape,
        scheme: { bits, symmetric, granularity: groups === 1 ? 'channel' : 'group', groupSize },
        codes: await read('qweight', columns, signal),
        scales: transposeArray(await parts.readScales('scales', signal), groups, rows),
        scaleType,
        zeros: symmetric ? undefined : zeros,
        groupIndex: undefined,
      };
    },
  };
}
