import type { AttentionRequest, DeviceTraits, Dispatch, Operand, Program } from '@pare/executor';
import { attention as text, attentionMerge } from './kernels.gen.js';
import { launches } from './launch.js';
import { kernel, uniformWords } from './shader.js';
import { boxes, windowOf, type Box, type Reach } from './windows.js';

/** Features that registers have room for. */
const largestSize = 256;
const blockRows = 32;
const blockKeys = 64;
/** Workgroups that keep a large device busy; keys are shared out among more of them only below this. */
const busyWorkgroups = 128;
/** Least keys of a slice. */
const leastSlice = 256;

export interface AttentionChoice {
  /** Takes this many slices of the keys. */
  readonly splits?: number | undefined;
}

/**
 * Attention without a stored score matrix; see `AttentionRequest`.
 * @throws RangeError when a head is wider than 256, when query heads do not share key heads evenly, or when one query does not fit into a binding
 */
export function attention(request: AttentionRequest, traits: DeviceTraits, choice: AttentionChoice = {}): Program {
  const { batch, heads, keyHeads, queries, keys, headSize, valueSize, qStrides, kStrides, vStrides, yStrides, mask } = request;
  if (headSize > largestSize || valueSize > largestSize) {
    throw new RangeError(`attention over heads of ${String(headSize)} and ${String(valueSize)} features; at most ${String(largestSize)} are computed`);
  }
  if (heads * batch * queries * valueSize === 0) return { temporaries: [], dispatches: [] };
  if (heads % keyHeads !== 0) throw new RangeError(`${String(heads)} query heads do not share ${String(keyHeads)} key heads evenly`);
  const group = heads / keyHeads;
  // An element is what one query of one key head reaches: its query heads.
  const reach = (buffer: string, access: 'read' | 'write', [b, h, i]: readonly [number, number, number], size: number): Reach => ({
    buffer,
    access,
    elementBytes: 4 * ((group - 1) * h + size),
    strides: { batch: 4 * b, keyHead: 4 * group * h, query: 4 * i },
  });
  const all = (buffer: string, [b, h, i]: readonly [number, number, number], size: number): Reach => ({
    buffer,
    access: 'read',
    elementBytes: 4 * size,
    strides: { batch: 4 * b, keyHead: 4 * h, key: 4 * i },
  });
  const reaches: Reaches = {
    q: reach('q', 'read', qStrides, headSize),
    k: all('k', kStrides, headSize),
    v: all('v', vStrides, valueSize),
    y: reach('y', 'write', yStrides, valueSize),
    mask: mask && {
      buffer: 'mask',
      access: 'read',
      elementBytes: 4 * ((group - 1) * mask[1] + 1),
      strides: { batch: 4 * mask[0], keyHead: 4 * group * mask[1], query: 4 * mask[2], key: 4 * mask[3] },
    },
  };
  const axes = {
    batch: { size: batch, multiple: 1 },
    keyHead: { size: keyHeads, multiple: 1 },
    query: { size: queries, multiple: blockRows },
    // Pieces of the keys follow each other; what they leave is merged after the last.
    key: { size: Math.max(keys, 1), multiple: blockKeys },
  };
  const { q, k, v, y, mask: masks } = reaches;
  const pieces = boxes(axes, [q, k, v, ...(masks === undefined ? [] : [masks]), y], traits);
  const piecesOfKeys = new Set(pieces.map((box) => box.start['key'])).size;
  const dispatches: Dispatch[] = [];
  let partialBytes = 0;
  for (let index = 0; index < pieces.length; index += piecesOfKeys) {
    const parts = pieces.slice(index, index + piecesOfKeys).map((box) => new Part(request, box, reaches, traits));
    const splits = parts.map((part) => part.splits(piecesOfKeys, choice));
    const total = splits.reduce((sum, count) => sum + count, 0);
    let before = 0;
    for (const [position, part] of parts.entries()) {
      dispatches.push(...part.attend(splits[position]!, before, total));
      before += splits[position]!;
    }
    if (total > 1) dispatches.push(...parts[0]!.merge(total));
    if (total > 1) partialBytes = Math.max(partialBytes, parts[0]!.partialBytes(total));
  }
  return { temporaries: partialBytes === 0 ? [] : [{ name: 'partial', bytes: partialBytes }], dispatches };
}

interface Reaches {
  readonly q: Reach;
  readonly k: Reach;
  readonly v: Reach;
  readonly y: Reach;
  readonly mask: Reach | undefined;
}

/** A box of batches, key heads, queries and keys. */
class Part {
  readonly #request: AttentionRequest;
  readonly #box: Box;
  readonly #traits: DeviceTraits;
  readonly #reaches: Reaches;
  readonly #batch: number;
  readonly #keyHeads: number;
  readonly #queries: number;
  readonly #keys: number;
  readonly #group: number;
  readonly #blocks: number;

  constructor(request: AttentionRequest, box: Box, reaches: Reaches, traits: DeviceTraits) {
    const size = box.size as { batch: number; keyHead: number; query: number; key: number };
    this.#request = request;
    this.#box = box;
    this.#traits = traits;
    this.#reaches = reaches;
    this.#batch = size.batch;
    this.#keyHeads = size.keyHead;
    this.#queries = size.query;
    this.#keys = Math.min(size.key, request.keys);
    this.#group = request.heads / request.keyHeads;
    this.#blocks = Math.ceil((this.#group * size.query) / blockRows);
  }

  /** Bytes of what `splits` slices leave. */
  partialBytes(splits: number): number {
    return splits * this.#batch * this.#keyHeads * this.#group * this.#queries * 4 * (this.#request.valueSize + 2);
  }

  /** Into how many slices the keys are cut when there are `pieces` parts like this one. */
  splits(pieces: number, choice: AttentionChoice): number {
    const room = Math.floor(this.#traits.maximumBinding / this.partialBytes(pieces));
    const idle = Math.floor(busyWorkgroups / (this.#batch * this.#keyHeads * this.#blocks));
    const wanted = Math.max(1, choice.splits ?? Math.min(idle, Math.floor(this.#keys / leastSlice), room));
    return Math.max(1, Math.ceil(this.#keys / this.#slice(wanted)));
  }

  #slice(splits: number): number {
    return Math.max(blockKeys, Math.ceil(this.#keys / splits / blockKeys) * blockKeys);
  }

  /** Dispatches over all slices of these keys, the first of which is number `before` of `total`. */
  attend(splits: number, before: number, total: number): Dispatch[] {
    const { keys: allKeys, queries: allQueries, headSize, valueSize, scale, cap, causal, qStrides, kStrides, vStrides, yStrides, mask } = this.#request;
    const at = (reach: Reach): { operand: Operand; base: number } => {
      const { operand, base } = windowOf(reach, this.#box, this.#traits);
      return { operand, base: base / 4 };
    };
    const [q, k, v, y] = [at(this.#reaches.q), at(this.#reaches.k), at(this.#reaches.v), at(this.#reaches.y)];
    const maskWindow = this.#reaches.mask && at(this.#reaches.mask);
    const partial = total > 1;
    const source = kernel('attention', text, {
      ...{ MASK: mask !== undefined, SPLIT: partial, Y_BINDING: mask === undefined ? 3 : 4 },
      V_VECTOR: [v.base, ...vStrides, valueSize].every((value) => value % 4 === 0),
      VALUE_QUADS: Math.ceil(valueSize / 64),
    });
    const groups = this.#batch * this.#keyHeads * splits * this.#blocks;
    // The position of the box's first query among its keys.
    const past = allKeys - allQueries + this.#box.start['query']! - this.#box.start['key']!;
    return launches(groups, this.#traits).map(({ first, workgroups }) => ({
      kernel: source,
      operands: [q.operand, k.operand, v.operand, ...(maskWindow === undefined ? [] : [maskWindow.operand]), partial ? this.#partial('write', total) : y.operand],
      uniforms: uniformWords([
        ...[first, groups, this.#keyHeads, this.#blocks, this.#group * this.#queries, this.#queries, this.#group, this.#keys, headSize, valueSize, past, Number(causal)],
        ...[{ float: scale }, { float: cap }, { float: -Infinity }, splits],
        ...[q.base, ...qStrides, k.base, ...kStrides, v.base, ...vStrides, y.base, ...yStrides],
        ...[maskWindow?.base ?? 0, ...(mask ?? [0, 0, 0, 0]), this.#slice(splits), before, this.#batch],
      ]),
      workgroups,
    }));
  }

  /** Dispatches that join what `splits` slices left. */
  merge(splits: number): Dispatch[] {
    const { valueSize, yStrides } = this.#request;
    const y = windowOf(this.#reaches.y, this.#box, this.#traits);
    const rows = this.#group * this.#queries;
    const count = this.#batch * this.#keyHeads * rows;
    const groups = Math.ceil((count * valueSize) / 256);
    const source = kernel('attention-merge', attentionMerge);
    return launches(groups, this.#traits).map(({ first, workgroups }) => ({
      kernel: source,
      operands: [this.#partial('read', splits), y.operand],
      uniforms: uniformWords([first, groups, count, splits, this.#keyHeads, rows, this.#queries, this.#group, valueSize, y.base / 4, ...yStrides]),
      workgroups,
    }));
  }

  #partial(access: 'read' | 'write', splits: number): Operand {
    return { buffer: 'partial', access, offset: 0, size: this.partialBytes(splits) };
  }
}
