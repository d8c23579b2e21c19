import { type Dimension } from '@pare/core';
import { addDimensions, multiplyDimensions } from '../types/dimension.js';
import { layerNormalization, matrixProductShape } from './matrix.js';
import { sameAsFirst, shapeText, unify, unknownRank, withRank } from './rules.js';
import { defineOperator, float, int, required, string, type InferenceContext, type InferredOutput, type OperatorSchema } from './schema.js';
import { floats, indices } from './types.js';

/* Operators of onnxruntime beyond the standard, used in exported models. Shapes follow its ContribOperators documentation. */

const domain = 'com.microsoft';

/** A [..., K]; B [N, ⌈K/block⌉, block·bits/8]; scales [N, ⌈K/block⌉] or flat; zero points packed by row or in A's type; g_idx [K]; bias [N]. */
function matMulNBits(context: InferenceContext): readonly InferredOutput[] {
  const a = context.shape(0);
  const [k, n, bits, block] = [context.int('K'), context.int('N'), context.int('bits'), context.int('block_size')];
  if (bits < 2 || bits > 8) context.fail(`bits is ${String(bits)}; allowed: 2 to 8`);
  if (block < 16 || (block & (block - 1)) !== 0) context.fail(`block_size is ${String(block)}; allowed: powers of two from 16`);
  const blocks = Math.ceil(k / block);
  const expectSize = (index: number, sizes: readonly number[], text: string): void => {
    const shape = context.inputs[index]?.shape;
    if (shape?.every((dimension) => typeof dimension === 'number') !== true) return;
    const size = (shape as readonly number[]).reduce((product, dimension) => product * dimension, 1);
    if (!sizes.includes(size)) context.fail(`input ${String(index)} has shape ${shapeText(shape)}, needs ${text}`);
  };
  expectSize(1, [n * blocks * ((block * bits) / 8)], `[${String(n)}, ${String(blocks)}, ${String((block * bits) / 8)}]`);
  expectSize(2, [n * blocks], `[${String(n)}, ${String(blocks)}]`);
  expectSize(3, [context.inputs[3]?.dtype === 'uint8' ? n * Math.ceil((blocks * bits) / 8) : n * blocks], `${String(n)} rows of packed zero points`);
  expectSize(4, [k, blocks * block], `[${String(k)}]`);
  expectSize(5, [n], `[${String(n)}]`);
  if (a === undefined) return unknownRank;
  if (a.length === 0) context.fail('A needs at least one axis');
  unify(context, a.at(-1)!, k, 'K and the last axis of A');
  return [{ shape: [...a.slice(0, -1), n] }];
}

function gatherBlockQuantized(context: InferenceContext): readonly InferredOutput[] {
  const data = context.shape(0);
  const at = context.shape(1);
  if (data === undefined || at === undefined) return unknownRank;
  const axis = context.axis(context.int('gather_axis'), data.length, 'gather_axis');
  // Bytes hold 8 / bits codes along the last axis.
  const perByte = context.inputs[0]!.dtype === 'uint8' ? 8 / context.int('bits') : 1;
  const full = data.map((dimension, index) => (index === data.length - 1 ? multiplyDimensions(dimension, perByte) : dimension));
  return [{ shape: [...full.slice(0, axis), ...at, ...full.slice(axis + 1)] }];
}

/** Query [batch, sequence, heads·size] (or packed with keys and values: (heads + 2·kvHeads)·size), cache [batch, kvHeads, past, size]. */
function groupQueryAttention(context: InferenceContext): readonly InferredOutput[] {
  const query = withRank(context, 0, 3);
  const past = context.inputs[3]?.shape;
  const heads = context.int('num_heads');
  const kvHeads = context.int('kv_num_heads');
  if (heads % kvHeads !== 0) context.fail(`num_heads ${String(heads)} is no multiple of kv_num_heads ${String(kvHeads)}`);
  if (query === undefined) return [{ shape: undefined }, { shape: undefined }, { shape: undefined }, { shape: undefined }];
  const [batch, sequence, width] = query as [Dimension, Dimension, Dimension];
  const packed = context.inputs[1] === undefined;
  const parts = packed ? heads + 2 * kvHeads : heads;
  if (typeof width === 'number' && width % parts !== 0) context.fail(`${String(width)} query features do not divide among ${String(parts)} heads`);
  const size = typeof width === 'number' ? width / parts : (past?.[3] ?? context.unknown(1, 3));
  const output = packed ? [batch, sequence, multiplyDimensions(size, heads)] : query;
  // The known total length when it is given as a constant, else past + new; onnxruntime keeps a shared buffer's length instead.
  const total = context.elements(6)?.[0] ?? (past === undefined ? sequence : addDimensions(past[2]!, sequence));
  const present = [batch, kvHeads, total, size];
  return [{ shape: output }, { shape: present }, { shape: present }, { shape: [batch, heads, sequence, total] }];
}

/** Query [batch, sequence, hidden]; key and value [batch, keys, hidden] or [batch, heads, keys, size]; or all packed in query [batch, sequence, heads, 3, size]. */
function multiHeadAttention(context: InferenceContext): readonly InferredOutput[] {
  const query = withRank(context, 0, 3, 5);
  const heads = context.int('num_heads');
  if (query === undefined) return [{ shape: undefined }, { shape: undefined }, { shape: undefined }, { shape: undefined }];
  const [batch, sequence] = query as [Dimension, Dimension];
  const key = context.inputs[1]?.shape;
  const value = context.inputs[2]?.shape;
  const packed = query.length === 5;
  const hidden = packed ? multiplyDimensions(query[2]!, query[4]!) : query[2]!;
  const valueHidden = value === undefined ? hidden : value.length === 4 ? multiplyDimensions(value[1]!, value[3]!) : value[2]!;
  const past = context.inputs[6]?.shape;
  const keys = packed || key === undefined ? sequence : key.length === 4 ? key[2]! : key[1]!;
  const total = past === undefined ? keys : addDimensions(past[2]!, keys);
  const size = (features: Dimension): Dimension => (typeof features === 'number' ? features / heads : context.unknown(1, 3));
  return [
    { shape: [batch, sequence, valueHidden] },
    { shape: [batch, heads, total, size(hidden)] },
    { shape: [batch, heads, total, size(valueHidden)] },
    { shape: [batch, heads, sequence, total] },
  ];
}

function fusedMatMul(context: InferenceContext): readonly InferredOutput[] {
  const swap = (shape: readonly Dimension[] | undefined, transposed: boolean, batchTransposed: boolean): readonly Dimension[] | undefined => {
    if (shape === undefined || shape.length < 2) return shape;
    // With transBatch the leading batch axis was moved to just before the last axis.
    const order = batchTransposed ? [...shape.slice(1, -1), shape[0]!, shape.at(-1)!] : [...shape];
    return transposed ? [...order.slice(0, -2), order.at(-1)!, order.at(-2)!] : order;
  };
  const a = swap(context.shape(0), context.int('transA') === 1, context.int('transBatchA') === 1);
  const b = swap(context.shape(1), context.int('transB') === 1, context.int('transBatchB') === 1);
  return [{ shape: matrixProductShape(context, a, b) }];
}

function simplifiedLayerNormalization(context: InferenceContext): readonly InferredOutput[] {
  const [output, statistics = output] = layerNormalization(context) as [InferredOutput, InferredOutput?];
  return [output, { ...statistics, dtype: 'float32' }];
}

const activation = (name: string, attributes: OperatorSchema['attributes'] = {}, inputs = 'X:T'): OperatorSchema =>
  defineOperator(name, { domain, inputs, outputs: 'Y:T', types: { T: floats }, attributes, infer: sameAsFirst() });

export const microsoftOperators: readonly OperatorSchema[] = [
  defineOperator('MatMulNBits', {
    domain,
    inputs: 'A:T1 B:T2 scales:T1 zero_points?:T3 g_idx?:T4 bias?:T1',
    outputs: 'Y:T1',
    types: { T1: ['float32', 'float16', 'bfloat16'], T2: ['uint8', 'int32'], T3: ['uint8', 'int32', 'float32', 'float16', 'bfloat16'], T4: ['int32'] },
    attributes: { K: required('int'), N: required('int'), accuracy_level: int(0), bits: int(4), block_size: required('int') },
    infer: matMulNBits,
  }),
  defineOperator('GatherBlockQuantized', {
    domain,
    inputs: 'data:T1 indices:Tind scales:T2 zero_points?:T1',
    outputs: 'output:T2',
    types: { T1: ['int4', 'uint4', 'uint8'], T2: ['float32', 'float16', 'bfloat16'], Tind: indices },
    attributes: { bits: int(4), block_size: int(128), gather_axis: int(0), quantize_axis: int(1) },
    infer: gatherBlockQuantized,
  }),
  defineOperator('GroupQueryAttention', {
    domain,
    inputs:
      'query:T key?:T value?:T past_key?:C past_value?:C seqlens_k:M total_sequence_length:M cos_cache?:T sin_cache?:T position_ids?:P attention_bias?:T head_sink?:T k_scale?:S v_scale?:S',
    outputs: 'output:T present_key?:rule present_value?:rule output_qk?:T',
    types: { T: floats, C: [...floats, 'int8', 'uint8'], M: ['int32'], P: ['int64'], S: ['float32'] },
    attributes: {
      do_rotary: int(0),
      k_quant_type: string('NONE'),
      kv_cache_bit_width: int(0),
      kv_num_heads: required('int'),
      local_window_size: int(-1),
      num_heads: required('int'),
      qk_output: int(0),
      rotary_interleaved: int(0),
      scale: float(),
      smooth_softmax: int(0),
      softcap: float(0),
      v_quant_type: string('NONE'),
    },
    infer: (context) => {
      const cache = context.inputs[3]?.dtype ?? context.inputs[0]!.dtype;
      return groupQueryAttention(context).map((output, index) => (index === 1 || index === 2 ? { ...output, dtype: cache } : output));
    },
  }),
  defineOperator('MultiHeadAttention', {
    domain,
    inputs:
      'query:T key?:T value?:T bias?:T key_padding_mask?:M attention_bias?:T past_key?:T past_value?:T past_sequence_length?:M cache_indirection?:M',
    outputs: 'output:T present_key?:T present_value?:T qk?:T',
    types: { T: floats, M: ['int32'] },
    attributes: { mask_filter_value: float(-10000), num_heads: required('int'), scale: float(), unidirectional: int(0) },
    infer: multiHeadAttention,
  }),
  defineOperator('FusedMatMul', {
    domain,
    inputs: 'A:T B:T',
    outputs: 'Y:T',
    types: { T: floats },
    attributes: { alpha: float(1), transA: int(0), transB: int(0), transBatchA: int(0), transBatchB: int(0) },
    infer: fusedMatMul,
  }),
  // onnxruntime keeps its RMS norm in ONNX's own domain.
  defineOperator('SimplifiedLayerNormalization', {
    inputs: 'X:T scale:V',
    outputs: 'Y:V inv_std_var?:rule',
    types: { T: floats, V: floats },
    attributes: { axis: int(-1), epsilon: float(1e-5), stash_type: int(1) },
    infer: simplifiedLayerNormalization,
  }),
  defineOperator('RotaryEmbedding', {
    domain,
    inputs: 'input:T position_ids:M cos_cache:T sin_cache:T',
    outputs: 'output:T',
    types: { T: floats, M: ['int64'] },
    attributes: { interleaved: int(0), is_packed_batching: int(0), num_heads: int(0), rotary_embedding_dim: int(0), scale: float(1) },
    infer: sameAsFirst(),
  }),
  activation('Gelu'),
  activation('FastGelu', {}, 'X:T bias?:T'),
  activation('QuickGelu', { alpha: float(1.702) }),
];
