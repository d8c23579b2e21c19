import { hostTensor } from '@pare/core';
import { add, and, convert, divide, equal, less, literal, multiply, not, remainder, select, size, subtract, unary, type Expression } from '../expression/expression.js';
import { atCoordinates, broadcastTo, type Coordinates } from '../expression/coordinates.js';
import { computable } from './elementwise.js';
import { count, type LazyTensor } from './lazy-tensor.js';
import { reshaped, sliced, transposed } from './layout.js';
import { cannotLower, type LoweringCall, type OperatorLowering } from './lowering.js';
import { product } from './matrix.js';
import { softmaxRows, storedAs } from './normalisation.js';
import { attention as fusedAttention } from './patterns.js';

/* com.microsoft operators of exported decoders: rotary embedding, and attention with caches. */

const f32 = (value: number): Expression => literal('f32', value);
/** Added to scores of keys that must not be seen; finite, so that nothing becomes NaN. */
const hiddenScore = -1e30;

function asFloat(call: LoweringCall, tensor: LazyTensor): LazyTensor {
  return tensor.dtype === 'float32' ? tensor : call.lowering.fused(call.name, 'float32', tensor.shape, [tensor], ([value], coordinates) => value!.at(coordinates));
}

/** Features that stand side by side, [batch, length, heads · size] from `start` on, as [batch, heads, length, size]. */
function headsOf(call: LoweringCall, tensor: LazyTensor, start: number, heads: number, headSize: number, bias: LazyTensor | undefined, biasStart: number): LazyTensor {
  const [batch, length] = tensor.shape as [number, number];
  const part = sliced(tensor, [0, 0, start], [1, 1, 1], [batch, length, heads * headSize]);
  const biased =
    bias === undefined
      ? part
      : call.lowering.fused(call.name, part.dtype, part.shape, [part, sliced(bias, [biasStart], [1], [heads * headSize])], ([x, b], coordinates) => add(x!.at(coordinates), b!.at(broadcastTo(b!.shape, coordinates))));
  return transposed(reshaped(biased, [batch, length, heads, headSize]), [0, 2, 1, 3]);
}

/** Rotates pairs of the first 2·half features of [batch, heads, length, size] by the angles of `position(batch, place)`. */
function rotated(call: LoweringCall, x: LazyTensor, cos: LazyTensor, sin: LazyTensor, interleaved: boolean, position: (batch: Expression, place: Expression) => Expression, inputs: readonly LazyTensor[]): LazyTensor {
  const half = cos.shape[1]!;
  const source = call.lowering.settled(x, call.name);
  return call.lowering.fused(call.name, x.dtype, x.shape, [source, cos, sin, ...inputs], ([value, cosines, sines], coordinates) => {
    const [batch, head, place, feature] = coordinates.list() as [Expression, Expression, Expression, Expression];
    const row = position(batch, place);
    // Whether this is the second of its pair, and which pair it is of.
    const second = interleaved ? equal(remainder(feature, size(2)), literal('i32', 1)) : not(less(feature, size(half)));
    const pair = interleaved ? divide(feature, size(2)) : select(second, subtract(feature, size(half)), feature);
    const partner = interleaved ? select(second, subtract(feature, literal('i32', 1)), add(feature, literal('i32', 1))) : select(second, pair, add(feature, size(half)));
    const own = value!.at(coordinates);
    const other = value!.at(atCoordinates(x.shape, [batch, head, place, partner]));
    const c = cosines!.at(atCoordinates(cosines!.shape, [row, pair]));
    const s = sines!.at(atCoordinates(sines!.shape, [row, pair]));
    const turned = add(multiply(own, c), select(second, multiply(other, s), unary('negate', multiply(other, s))));
    return 2 * half === x.shape[3] ? turned : select(less(feature, size(2 * half)), turned, own);
  });
}

const rotaryEmbedding: OperatorLowering = (call) => {
  const [x, ids, cos, sin] = [0, 1, 2, 3].map((index) => call.input(index)) as [LazyTensor, LazyTensor, LazyTensor, LazyTensor];
  computable([x, cos, sin]);
  if (call.number('scale', 1) !== 1) cannotLower('a scale other than 1');
  const half = cos.shape[1]!;
  const given = call.number('num_heads', 0);
  const apart = x.shape.length === 4;
  const features = x.shape[2]!;
  const headSize = apart ? x.shape[3]! : given > 0 ? features / given : 2 * half;
  const heads = apart ? x.shape[1]! : features / headSize;
  const states = apart ? x : headsOf(call, x, 0, heads, headSize, undefined, 0);
  const length = states.shape[2]!;
  const one = count(ids) === 1;
  const position = (batch: Expression, place: Expression): Expression => {
    const flat = reshaped(ids, [count(ids)]);
    const index = one ? literal('i32', 0) : add(multiply(batch, size(length)), place);
    const id = convert('i32', flat.at(atCoordinates(flat.shape, [index])));
    return one ? add(id, place) : id;
  };
  const result = rotated(call, states, cos, sin, call.number('interleaved', 0) !== 0, position, [ids]);
  return [apart ? result : reshaped(transposed(result, [0, 2, 1, 3]), x.shape)];
};

interface Cached {
  readonly q: LazyTensor;
  readonly k: LazyTensor;
  readonly v: LazyTensor;
  readonly mask: LazyTensor | undefined;
  readonly scale: number;
  readonly cap: number;
}

/** Attention of [batch, heads, length, size] over [batch, kvHeads, keys, size], as [batch, length, heads · size]. */
function attend(call: LoweringCall, { q, k, v, mask, scale, cap }: Cached): LazyTensor {
  const [batch, heads, length] = q.shape as [number, number, number];
  const kvHeads = k.shape[1]!;
  const valueSize = v.shape[3]!;
  const grouped = (tensor: LazyTensor): LazyTensor => reshaped(call.lowering.dense(tensor, call.name), [batch, kvHeads, 1, ...tensor.shape.slice(2)]);
  const queries = reshaped(call.lowering.dense(q, call.name), [batch, kvHeads, heads / kvHeads, ...q.shape.slice(2)]);
  const wideMask = mask === undefined ? undefined : reshaped(mask, mask.shape[1] === 1 ? [mask.shape[0]!, 1, 1, ...mask.shape.slice(2)] : [mask.shape[0]!, kvHeads, heads / kvHeads, ...mask.shape.slice(2)]);
  const [keys, values] = [grouped(k), grouped(v)];
  const fused = fusedAttention(call, { q: queries, k: keys, v: values, mask: wideMask, scale, cap });
  const mixed = fused ?? composed(call, queries, keys, values, wideMask, scale, cap);
  return reshaped(transposed(reshaped(mixed, [batch, heads, length, valueSize]), [0, 2, 1, 3]), [batch, length, heads * valueSize]);
}

/** The same with scores in memory, for devices without the routine and for heads that it does not hold. */
function composed(call: LoweringCall, q: LazyTensor, k: LazyTensor, v: LazyTensor, mask: LazyTensor | undefined, scale: number, cap: number): LazyTensor {
  const scores = product(call, q, transposed(k, [0, 1, 2, 4, 3]), { alpha: scale });
  const keys = scores.shape.at(-1)!;
  const masked = call.lowering.fused(call.name, 'float32', scores.shape, [scores, ...(mask === undefined ? [] : [mask])], ([x, m], coordinates) => {
    const score = x!.at(coordinates);
    const capped = cap === 0 ? score : multiply(f32(cap), unary('tanh', divide(score, f32(cap))));
    return m === undefined ? capped : add(capped, m.at(broadcastTo(m.shape, coordinates)));
  });
  const shares = reshaped(softmaxRows(call, reshaped(masked, [count(scores) / keys, keys]), false), scores.shape);
  return product(call, shares, v);
}

/** Causal attention with a cache and fewer key than query heads. */
const groupQueryAttention: OperatorLowering = (call) => {
  const query = call.input(0);
  computable([query]);
  if (call.wants(3) || call.text('k_quant_type', 'NONE') !== 'NONE' || call.text('v_quant_type', 'NONE') !== 'NONE') cannotLower('quantized caches and stored scores');
  if (call.inputs[11] !== undefined || call.number('smooth_softmax', 0) !== 0) cannotLower('attention sinks');
  const heads = call.number('num_heads', 0);
  const kvHeads = call.number('kv_num_heads', 0);
  const [batch, length, width] = query.shape as [number, number, number];
  const packed = call.inputs[1] === undefined;
  const headSize = width / (packed ? heads + 2 * kvHeads : heads);
  const source = call.lowering.settled(asFloat(call, query), call.name);
  let q = headsOf(call, source, 0, heads, headSize, undefined, 0);
  let newKeys = packed ? headsOf(call, source, heads * headSize, kvHeads, headSize, undefined, 0) : headsOf(call, asFloat(call, call.input(1)), 0, kvHeads, headSize, undefined, 0);
  const newValues = packed ? headsOf(call, source, (heads + kvHeads) * headSize, kvHeads, headSize, undefined, 0) : headsOf(call, asFloat(call, call.input(2)), 0, kvHeads, headSize, undefined, 0);
  const lengths = call.integers(5) ?? call.fail('seqlens_k is missing');
  const total = call.integers(6)?.[0] ?? call.fail('total_sequence_length is missing');
  const kept = call.inputs[3]?.shape[2] ?? 0;
  const starts = Array.from({ length: batch }, (_, row) => (length === total ? 0 : lengths[row]! + 1 - length));
  for (const [row, start] of starts.entries()) {
    if (start < 0 || start > kept || start + length > Math.max(kept, total)) call.fail(`row ${String(row)}: ${String(length)} new tokens up to length ${String(lengths[row]! + 1)} do not follow a cache of ${String(kept)}`);
  }
  const first = call.lowering.hostTensor(hostTensor('int32', [batch], Int32Array.from(starts)));
  const startOf = (tensor: LazyTensor, row: Expression): Expression => tensor.at(atCoordinates([batch], [row]));

  if (call.number('do_rotary', 0) !== 0) {
    const [cos, sin] = [asFloat(call, call.input(7)), asFloat(call, call.input(8))];
    const ids = call.inputs[9];
    const interleaved = call.number('rotary_interleaved', 0) !== 0;
    const position = (row: Expression, place: Expression): Expression =>
      ids === undefined ? add(startOf(first, row), place) : convert('i32', ids.at(atCoordinates(ids.shape, [row, place])));
    q = rotated(call, q, cos, sin, interleaved, position, ids === undefined ? [first] : [ids]);
    newKeys = rotated(call, newKeys, cos, sin, interleaved, position, ids === undefined ? [first] : [ids]);
  }

  const keys = Math.max(kept, total);
  const present = (past: LazyTensor | undefined, fresh: LazyTensor): LazyTensor => {
    const shape = [batch, kvHeads, keys, headSize];
    const inputs = [call.lowering.settled(fresh, call.name), first, ...(past === undefined ? [] : [past])];
    return call.lowering.fused(call.name, 'float32', shape, inputs, ([added, begin, before], coordinates: Coordinates) => {
      const [row, head, place, feature] = coordinates.list() as [Expression, Expression, Expression, Expression];
      const start = startOf(begin!, row);
      const isNew = and(not(less(place, start)), less(place, add(start, size(length))));
      const old = before === undefined ? f32(0) : select(less(place, start), before.at(atCoordinates(before.shape, [row, head, place, feature])), f32(0));
      return select(isNew, added!.at(atCoordinates(added!.shape, [row, head, subtract(place, start), feature])), old);
    });
  };
  const allKeys = call.lowering.dense(present(call.inputs[3], newKeys), call.name);
  const allValues = call.lowering.dense(present(call.inputs[4], newValues), call.name);
  const window = call.number('local_window_size', -1);
  const bias = call.inputs[10];
  const maskShape = [batch, bias !== undefined && bias.shape[1] !== 1 ? heads : 1, length, keys];
  const mask = call.lowering.fused(call.name, 'float32', maskShape, [first, ...(bias === undefined ? [] : [bias])], ([begin, added], coordinates) => {
    const [row, , place, key] = coordinates.list() as [Expression, Expression, Expression, Expression];
    // Query `place` sees itself and what came before it, at most `window` keys in all.
    const last = add(startOf(begin!, row), place);
    const late = less(last, key);
    const seen = window > 0 ? not(less(add(key, size(window - 1)), last)) : undefined;
    const hidden = seen === undefined ? late : not(and(not(late), seen));
    return select(hidden, f32(hiddenScore), added === undefined ? f32(0) : convert('f32', added.at(broadcastTo(added.shape, coordinates))));
  });
  const given = call.number('scale', 0);
  const scale = given === 0 ? 1 / Math.sqrt(headSize) : given;
  const output = attend(call, { q, k: allKeys, v: allValues, mask, scale, cap: call.number('softcap', 0) });
  const cacheType = call.inputs[3]?.dtype ?? query.dtype;
  return [storedAs(call, query.dtype, output), storedAs(call, cacheType, allKeys), storedAs(call, cacheType, allValues)];
};

/** Attention with as many key as query heads. */
const multiHeadAttention: OperatorLowering = (call) => {
  const query = call.input(0);
  computable([query]);
  const heads = call.number('num_heads', 0);
  const [key, value] = [call.inputs[1], call.inputs[2]];
  if (call.wants(3) || query.shape.length !== 3 || key === undefined || value === undefined || key.shape.length === 5) return cannotLower('packed layouts and stored scores');
  const bias = call.inputs[3] === undefined ? undefined : asFloat(call, call.inputs[3]);
  const [batch, length, hidden] = query.shape as [number, number, number];
  const q = headsOf(call, asFloat(call, query), 0, heads, hidden / heads, bias, 0);
  const side = (tensor: LazyTensor, start: number): LazyTensor => {
    const wide = asFloat(call, tensor);
    return tensor.shape.length === 4 ? wide : headsOf(call, wide, 0, heads, tensor.shape[2]! / heads, bias, start);
  };
  const joined = (past: LazyTensor | undefined, fresh: LazyTensor): LazyTensor => {
    if (past === undefined) return fresh;
    const before = past.shape[2]!;
    const shape = [batch, heads, before + fresh.shape[2]!, fresh.shape[3]!];
    return call.lowering.fused(call.name, 'float32', shape, [past, call.lowering.settled(fresh, call.name)], ([old, added], coordinates) => {
      const [row, head, place, feature] = coordinates.list() as [Expression, Expression, Expression, Expression];
      return select(less(place, size(before)), convert('f32', old!.at(atCoordinates(old!.shape, [row, head, place, feature]))), added!.at(atCoordinates(added!.shape, [row, head, subtract(place, size(before)), feature])));
    });
  };
  const keys = call.lowering.dense(joined(call.inputs[6], side(key, hidden)), call.name);
  const values = call.lowering.dense(joined(call.inputs[7], side(value, 2 * hidden)), call.name);
  const total = keys.shape[2]!;
  const causal = call.number('unidirectional', 0) !== 0;
  const filter = call.number('mask_filter_value', -10000);
  const padding = call.inputs[4];
  const added = call.inputs[5];
  const given = call.number('scale', 0);
  let mask: LazyTensor | undefined;
  if (causal || padding !== undefined || added !== undefined) {
    const maskShape = [batch, added !== undefined && added.shape.length === 4 && added.shape[1] !== 1 ? heads : 1, length, total];
    const inputs = [...(padding === undefined ? [] : [padding]), ...(added === undefined ? [] : [added])];
    const build = (tensors: readonly LazyTensor[], coordinates: Coordinates): Expression => {
      const [row, , place, key] = coordinates.list() as [Expression, Expression, Expression, Expression];
      const [marks, extra] = padding === undefined ? [undefined, tensors[0]] : [tensors[0], tensors[1]];
      let score: Expression = extra === undefined ? f32(0) : convert('f32', extra.at(broadcastTo(extra.shape, coordinates)));
      if (marks !== undefined) score = add(score, select(visibleKey(call, marks, batch, total, row, place, key), f32(0), f32(filter)));
      return causal ? select(less(add(place, size(total - length)), key), f32(hiddenScore), score) : score;
    };
    mask = call.lowering.fused(call.name, 'float32', maskShape, inputs, build);
  }
  const output = attend(call, { q, k: keys, v: values, mask, scale: given === 0 ? Math.sqrt(heads / hidden) : given, cap: 0 });
  return [storedAs(call, query.dtype, output), storedAs(call, query.dtype, keys), storedAs(call, query.dtype, values)];
};

/** Whether a key is visible under a mask of keys: [batch] lengths, [batch, keys], or [batch, queries, keys], nonzero = visible. */
function visibleKey(call: LoweringCall, mask: LazyTensor, batch: number, keys: number, row: Expression, place: Expression, key: Expression): Expression {
  const nonZero = (list: readonly Expression[]): Expression => not(equal(convert('i32', mask.at(atCoordinates(mask.shape, list))), literal('i32', 0)));
  if (mask.shape.length === 1 && mask.shape[0] === batch) return less(key, convert('i32', mask.at(atCoordinates(mask.shape, [row]))));
  if (mask.shape.length === 2 && mask.shape[1] === keys) return nonZero([row, key]);
  if (mask.shape.length === 3 && mask.shape[2] === keys) return nonZero([row, place, key]);
  return call.fail(`key padding mask [${mask.shape.join(', ')}] does not fit ${String(batch)} rows of ${String(keys)} keys`);
}

export const attentionLowerings: Readonly<Record<string, OperatorLowering>> = {
  'com.microsoft::RotaryEmbedding': rotaryEmbedding,
  'com.microsoft::GroupQueryAttention': groupQueryAttention,
  'com.microsoft::MultiHeadAttention': multiHeadAttention,
};

