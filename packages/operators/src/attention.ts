import { elementCount, type HostTensor } from '@pare/core';
import { fail, input, numberAttribute, shapeText, stringAttribute, wantsOutput, type Call, type Kernel } from './kernel.js';
import { addProduct } from './matrix.js';
import { broadcastIndex, broadcastShapes, strides } from './shape.js';
import { fromNumbers, numbers, type Numbers } from './values.js';

/* com.microsoft operators of exported decoders. All of them come down to softmax(Q·Kᵀ·scale + mask)·V per head. */

/** Values per head, [batch, heads, length, size]. */
interface Heads {
  readonly batch: number;
  readonly heads: number;
  readonly length: number;
  readonly size: number;
  readonly data: Float64Array;
}

function emptyHeads(batch: number, heads: number, length: number, size: number): Heads {
  return { batch, heads, length, size, data: new Float64Array(batch * heads * length * size) };
}

/** Heads from features that stand side by side: element (b, s, h, i) at ((b · length + s) · width + start + h · size + i). */
function takeHeads(source: Numbers, width: number, start: number, bias: Numbers | undefined, biasStart: number, into: Heads): Heads {
  const { batch, heads, length, size, data } = into;
  for (let b = 0; b < batch; b++) {
    for (let h = 0; h < heads; h++) {
      for (let s = 0; s < length; s++) {
        const from = (b * length + s) * width + start + h * size;
        const to = ((b * heads + h) * length + s) * size;
        for (let i = 0; i < size; i++) data[to + i] = source[from + i]! + (bias?.[biasStart + h * size + i] ?? 0);
      }
    }
  }
  return into;
}

function tensorHeads(tensor: HostTensor): Heads {
  const [batch, heads, length, size] = tensor.shape as [number, number, number, number];
  return { batch, heads, length, size, data: Float64Array.from(numbers(tensor)) };
}

function headsTensor(heads: Heads, dtype: HostTensor['dtype']): HostTensor {
  return fromNumbers(dtype, [heads.batch, heads.heads, heads.length, heads.size], heads.data);
}

/** `before` and `after` joined along the length. */
function appendHeads(before: Heads | undefined, after: Heads): Heads {
  if (before === undefined) return after;
  const joined = emptyHeads(after.batch, after.heads, before.length + after.length, after.size);
  for (let head = 0; head < after.batch * after.heads; head++) {
    const to = head * joined.length * joined.size;
    joined.data.set(before.data.subarray(head * before.length * before.size, (head + 1) * before.length * before.size), to);
    joined.data.set(after.data.subarray(head * after.length * after.size, (head + 1) * after.length * after.size), to + before.length * before.size);
  }
  return joined;
}

/**
 * softmax(q·kᵀ + …)·v per head, where query heads share key heads in equal groups, as [batch, length, heads · size]. `adjust` turns a row of
 * products into logits (scale, cap, bias, −∞ for masked keys); `sink` is an extra logit that only enters the softmax's denominator.
 */
function attend(
  q: Heads,
  k: Heads,
  v: Heads,
  adjust: (row: Float64Array, batch: number, head: number, position: number) => void,
  sink: (head: number) => number = () => -Infinity,
): Float64Array {
  const perGroup = q.heads / k.heads;
  const out = new Float64Array(q.batch * q.length * q.heads * v.size);
  const context = new Float64Array(q.length * v.size);
  for (let b = 0; b < q.batch; b++) {
    for (let h = 0; h < q.heads; h++) {
      const keyHead = b * k.heads + Math.floor(h / perGroup);
      const scores = new Float64Array(q.length * k.length);
      addProduct(
        { data: q.data, offset: (b * q.heads + h) * q.length * q.size, rowStep: q.size, columnStep: 1 },
        { data: k.data, offset: keyHead * k.length * k.size, rowStep: 1, columnStep: k.size },
        q.length,
        k.length,
        q.size,
        scores,
        0,
      );
      for (let s = 0; s < q.length; s++) {
        const row = scores.subarray(s * k.length, (s + 1) * k.length);
        adjust(row, b, h, s);
        softmaxInPlace(row, sink(h));
      }
      context.fill(0);
      addProduct(
        { data: scores, offset: 0, rowStep: k.length, columnStep: 1 },
        { data: v.data, offset: keyHead * v.length * v.size, rowStep: v.size, columnStep: 1 },
        q.length,
        v.size,
        k.length,
        context,
        0,
      );
      for (let s = 0; s < q.length; s++) out.set(context.subarray(s * v.size, (s + 1) * v.size), ((b * q.length + s) * q.heads + h) * v.size);
    }
  }
  return out;
}

function softmaxInPlace(row: Float64Array, sink: number): void {
  let maximum = sink;
  for (const logit of row) maximum = Math.max(maximum, logit);
  let sum = Math.exp(sink - maximum);
  for (const logit of row) sum += Math.exp(logit - maximum);
  for (let index = 0; index < row.length; index++) row[index] = Math.exp(row[index]! - maximum) / sum;
}

/**
 * Rotates pairs of the first `dimensions` features by the angles of a position (RoFormer, arXiv 2104.09864): x' = x cos − y sin,
 * y' = y cos + x sin. Pairs are (i, i + dimensions/2), or neighbours when interleaved. `cos` and `sin` hold dimensions/2 values a position.
 */
function rotate(data: Numbers, offset: number, dimensions: number, interleaved: boolean, cos: Numbers, sin: Numbers, position: number): void {
  const half = dimensions / 2;
  for (let i = 0; i < half; i++) {
    const first = offset + (interleaved ? 2 * i : i);
    const second = interleaved ? first + 1 : first + half;
    const x = data[first]!;
    const y = data[second]!;
    data[first] = x * cos[position * half + i]! - y * sin[position * half + i]!;
    data[second] = y * cos[position * half + i]! + x * sin[position * half + i]!;
  }
}

/** Rotary embedding of [batch, length, heads · size] or [batch, heads, length, size]; one position for all rows is an offset to count from. */
const rotaryEmbedding: Kernel = (call) => {
  const x = input(call, 0);
  const ids = input(call, 1);
  const cosCache = input(call, 2);
  const cos = numbers(cosCache);
  const sin = numbers(input(call, 3));
  if (numberAttribute(call, 'scale', 1) !== 1) fail(call, 'a scale other than 1 is not evaluated');
  const [cached, half] = cosCache.shape as [number, number];
  const interleaved = numberAttribute(call, 'interleaved', 0) !== 0;
  const headsGiven = numberAttribute(call, 'num_heads', 0);
  const apart = x.shape.length === 4;
  const [batch, second, third, fourth] = x.shape as [number, number, number, number | undefined];
  const length = apart ? third : second;
  const size = apart ? fourth! : headsGiven > 0 ? third / headsGiven : 2 * half;
  const heads = apart ? second : third / size;
  const positions = numbers(ids);
  const data = Float64Array.from(numbers(x));
  for (let b = 0; b < batch; b++) {
    for (let s = 0; s < length; s++) {
      const position = elementCount(ids.shape) === 1 ? positions[0]! + s : positions[b * length + s]!;
      if (position < 0 || position >= cached) fail(call, `position ${String(position)} is outside a cache of ${String(cached)}`);
      for (let h = 0; h < heads; h++) {
        const row = apart ? (b * heads + h) * length + s : (b * length + s) * heads + h;
        rotate(data, row * size, 2 * half, interleaved, cos, sin, position);
      }
    }
  }
  return [fromNumbers(x.dtype, x.shape, data)];
};

/** A bias that broadcasts to [batch, heads, queries, keys], as a function that adds a row of it. */
function rowBias(
  call: Call,
  tensor: HostTensor | undefined,
  shape: readonly number[],
): (row: Float64Array, batch: number, head: number, position: number) => void {
  if (tensor === undefined) return () => undefined;
  if (broadcastShapes([tensor.shape, shape])?.join() !== shape.join())
    fail(call, `attention bias ${shapeText(tensor.shape)} does not broadcast to ${shapeText(shape)}`);
  const values = numbers(tensor);
  const from = broadcastIndex(tensor.shape, shape);
  const steps = strides(shape);
  return (row, batch, head, position) => {
    const start = batch * steps[0]! + head * steps[1]! + position * steps[2]!;
    for (let j = 0; j < row.length; j++) row[j]! += values[from?.[start + j] ?? start + j]!;
  };
}

/**
 * Causal attention with a key-value cache and fewer key than query heads. Query [batch, length, heads · size], key and value [batch, length,
 * kvHeads · size] (or all three side by side in the query); cache [batch, kvHeads, past, size]; seqlens_k + 1 is each row's length with the
 * new tokens, total_sequence_length the longest of them. A prompt (length = total) starts at position 0.
 */
const groupQueryAttention: Kernel = (call) => {
  const query = input(call, 0);
  const heads = numberAttribute(call, 'num_heads') ?? fail(call, 'attribute num_heads is missing');
  const kvHeads = numberAttribute(call, 'kv_num_heads') ?? fail(call, 'attribute kv_num_heads is missing');
  for (const name of ['k_quant_type', 'v_quant_type']) if (stringAttribute(call, name, 'NONE') !== 'NONE') fail(call, 'a quantized cache is not evaluated');
  if (wantsOutput(call, 3)) fail(call, 'the scores (output_qk) are not evaluated');
  const [batch, length, width] = query.shape as [number, number, number];
  const packed = call.inputs[1] === undefined;
  const size = width / (packed ? heads + 2 * kvHeads : heads);
  const source = numbers(query);
  const q = takeHeads(source, width, 0, undefined, 0, emptyHeads(batch, heads, length, size));
  const newKeys = emptyHeads(batch, kvHeads, length, size);
  const newValues = emptyHeads(batch, kvHeads, length, size);
  if (packed) {
    takeHeads(source, width, heads * size, undefined, 0, newKeys);
    takeHeads(source, width, (heads + kvHeads) * size, undefined, 0, newValues);
  } else {
    takeHeads(numbers(input(call, 1)), kvHeads * size, 0, undefined, 0, newKeys);
    takeHeads(numbers(input(call, 2)), kvHeads * size, 0, undefined, 0, newValues);
  }
  const pastKeys = call.inputs[3] === undefined ? undefined : tensorHeads(call.inputs[3]);
  const pastValues = call.inputs[4] === undefined ? undefined : tensorHeads(call.inputs[4]);
  const lengths = numbers(input(call, 5));
  const total = numbers(input(call, 6))[0]!;
  const prompt = length === total;
  const starts = Array.from({ length: batch }, (_, b) => (prompt ? 0 : lengths[b]! + 1 - length));
  const kept = pastKeys?.length ?? 0;
  starts.forEach((start, b) => {
    if (start < 0 || start > kept || start + length > Math.max(kept, total))
      fail(call, `row ${String(b)}: ${String(length)} new tokens up to length ${String(lengths[b]! + 1)} do not follow a cache of ${String(kept)}`);
  });

  if (numberAttribute(call, 'do_rotary', 0) !== 0) {
    const cosCache = input(call, 7);
    const cos = numbers(cosCache);
    const sin = numbers(input(call, 8));
    const ids = call.inputs[9] === undefined ? undefined : numbers(call.inputs[9]);
    const interleaved = numberAttribute(call, 'rotary_interleaved', 0) !== 0;
    for (const part of [q, newKeys]) {
      for (let b = 0; b < batch; b++) {
        for (let s = 0; s < length; s++) {
          const position = ids?.[b * length + s] ?? starts[b]! + s;
          if (position < 0 || position >= cosCache.shape[0]!) fail(call, `position ${String(position)} is outside a cache of ${String(cosCache.shape[0])}`);
          for (let h = 0; h < part.heads; h++)
            rotate(part.data, ((b * part.heads + h) * length + s) * size, 2 * cosCache.shape[1]!, interleaved, cos, sin, position);
        }
      }
    }
  }

  const present = (past: Heads | undefined, fresh: Heads): Heads => {
    const joined = emptyHeads(batch, kvHeads, Math.max(kept, total), size);
    for (let head = 0; head < batch * kvHeads; head++) {
      const start = starts[Math.floor(head / kvHeads)]!;
      const to = head * joined.length * size;
      if (past !== undefined) joined.data.set(past.data.subarray(head * kept * size, (head * kept + start) * size), to);
      joined.data.set(fresh.data.subarray(head * length * size, (head + 1) * length * size), to + start * size);
    }
    return joined;
  };
  const keys = present(pastKeys, newKeys);
  const values = present(pastValues, newValues);

  const given = numberAttribute(call, 'scale', 0);
  const scale = given === 0 ? 1 / Math.sqrt(size) : given;
  const softcap = numberAttribute(call, 'softcap', 0);
  const window = numberAttribute(call, 'local_window_size', -1);
  const sinks = call.inputs[11] === undefined ? undefined : numbers(call.inputs[11]);
  const smooth = numberAttribute(call, 'smooth_softmax', 0) !== 0;
  const addBias = rowBias(call, call.inputs[10], [batch, heads, length, keys.length]);
  const out = attend(
    q,
    keys,
    values,
    (row, b, h, s) => {
      // Query s sees itself and what came before it, at most `window` keys in all.
      const end = starts[b]! + s + 1;
      const start = window > 0 ? Math.max(0, end - window) : 0;
      for (let j = 0; j < row.length; j++) row[j]! *= scale;
      if (softcap > 0) for (let j = 0; j < row.length; j++) row[j] = softcap * Math.tanh(row[j]! / softcap);
      addBias(row, b, h, s);
      for (let j = 0; j < row.length; j++) if (j < start || j >= end) row[j] = -Infinity;
    },
    (head) => sinks?.[head] ?? (smooth ? 0 : -Infinity),
  );
  const cacheType = call.inputs[3]?.dtype ?? query.dtype;
  return [fromNumbers(query.dtype, [batch, length, heads * size], out), headsTensor(keys, cacheType), headsTensor(values, cacheType)];
};

/** A mask of keys as a function that marks a row's hidden keys: [batch] lengths, [batch, keys], or [batch, queries, keys], nonzero = visible. */
function keyMask(call: Call, mask: HostTensor | undefined, batch: number, queries: number, keys: number): (b: number, s: number, j: number) => boolean {
  if (mask === undefined) return () => true;
  const values = numbers(mask);
  if (mask.shape.length === 1 && mask.shape[0] === batch) return (b, _s, j) => j < values[b]!;
  if (mask.shape.length === 2 && mask.shape[1] === keys) return (b, _s, j) => values[b * keys + j] !== 0;
  if (mask.shape.length === 3 && mask.shape[2] === keys) return (b, s, j) => values[(b * queries + s) * keys + j] !== 0;
  return fail(call, `key padding mask ${shapeText(mask.shape)} does not fit ${String(batch)} rows of ${String(keys)} keys`);
}

/**
 * Attention with as many key as query heads. Query [batch, length, heads · size]; key and value the same with their own length, or
 * [batch, heads, keys, size].
 */
const multiHeadAttention: Kernel = (call) => {
  const query = input(call, 0);
  const heads = numberAttribute(call, 'num_heads') ?? fail(call, 'attribute num_heads is missing');
  if (wantsOutput(call, 3)) fail(call, 'the scores (qk) are not evaluated');
  const bias = call.inputs[3] === undefined ? undefined : numbers(call.inputs[3]);
  const [batch, length] = query.shape as [number, number];
  const key = call.inputs[1];
  const value = call.inputs[2];
  if (query.shape.length !== 3) fail(call, `query ${shapeText(query.shape)} must be [batch, length, heads · size]; packed layouts are not evaluated`);
  const hidden = query.shape[2]!;
  const q = takeHeads(numbers(query), hidden, 0, bias, 0, emptyHeads(batch, heads, length, hidden / heads));
  const side = (tensor: HostTensor | undefined, start: number): Heads => {
    if (tensor === undefined || tensor.shape.length === 5) return fail(call, 'key and value must be given apart; packed layouts are not evaluated');
    if (tensor.shape.length === 4) return tensorHeads(tensor);
    return takeHeads(numbers(tensor), tensor.shape[2]!, 0, bias, start, emptyHeads(batch, heads, tensor.shape[1]!, tensor.shape[2]! / heads));
  };
  const past = (position: number): Heads | undefined => (call.inputs[position] === undefined ? undefined : tensorHeads(call.inputs[position]));
  const keys = appendHeads(past(6), side(key, hidden));
  const values = appendHeads(past(7), side(value, 2 * hidden));
  const given = numberAttribute(call, 'scale', 0);
  const scale = given === 0 ? 1 / Math.sqrt(q.size) : given;
  const causal = numberAttribute(call, 'unidirectional', 0) !== 0;
  const hiddenValue = numberAttribute(call, 'mask_filter_value', -10000);
  const visible = keyMask(call, call.inputs[4], batch, length, keys.length);
  const addBias = rowBias(call, call.inputs[5], [batch, heads, length, keys.length]);
  const before = keys.length - length;
  const out = attend(q, keys, values, (row, b, h, s) => {
    for (let j = 0; j < row.length; j++) row[j]! *= scale;
    addBias(row, b, h, s);
    for (let j = 0; j < row.length; j++) {
      if (causal && j > before + s) row[j] = -Infinity;
      else if (!visible(b, s, j)) row[j]! += hiddenValue;
    }
  });
  const { dtype } = query;
  return [fromNumbers(dtype, [batch, length, heads * values.size], out), headsTensor(keys, dtype), headsTensor(values, dtype)];
};

export const attention: readonly (readonly [string, Kernel])[] = [
  ['com.microsoft::RotaryEmbedding', rotaryEmbedding],
  ['com.microsoft::GroupQueryAttention', groupQueryAttention],
  ['com.microsoft::MultiHeadAttention', multiHeadAttention],
];
