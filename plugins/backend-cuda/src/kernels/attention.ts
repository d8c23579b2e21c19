import { uniformWords, type AttentionRequest, type DeviceTraits, type Dispatch, type Program } from '@pare/executor';
import { attention as text, attentionRows, attentionTensor } from './kernels.gen.js';
import { kernel } from './kernel.js';

/** Features that registers have room for. */
const largestSize = 256;

interface Tile {
  /** Rows that an invocation holds; a block has sixteen times as many. */
  readonly height: number;
  /** Keys of a block. */
  readonly keys: number;
}

/** From the largest on. */
const tiles: readonly Tile[] = [
  { height: 4, keys: 64 },
  { height: 4, keys: 32 },
  { height: 2, keys: 32 },
  { height: 2, keys: 16 },
  { height: 1, keys: 16 },
];

/** Bytes of shared memory that a tile takes: queries, keys, values and shares, as in attention.cu. */
export function tileMemory({ height, keys }: Tile, head: number, features: number): number {
  const rows = 16 * height;
  return 4 * ((rows + keys) * (head + 4) + keys * 16 * features + rows * (keys + 4));
}

/** Rows of queries of a block of attention-tensor.cu; half of them, and its tiles are worth filling. */
const tensorRows = 128;
const largestTensorSize = 128;

/**
 * Attention on tensor cores in bfloat16, or undefined where heads do not suit them or rows are too few.
 * @throws RangeError when query heads do not share key heads evenly
 */
function tensorAttention(request: AttentionRequest): Program | undefined {
  const { batch, heads, keyHeads, queries, headSize, valueSize, qStrides, kStrides, vStrides, yStrides, mask } = request;
  const group = shareOf(heads, keyHeads);
  const rows = group * queries;
  const fits = (size: number): boolean => size > 0 && size % 16 === 0 && size <= largestTensorSize;
  // Kernels read four numbers at a time.
  const even = [...qStrides, ...kStrides, ...vStrides, ...yStrides].every((stride) => stride % 4 === 0);
  if (2 * rows < tensorRows || !fits(headSize) || !fits(valueSize) || !even) return undefined;
  const count = Math.ceil(rows / tensorRows);
  const dispatch: Dispatch = {
    kernel: kernel('attention-tensor', attentionTensor, { values: { HEAD: headSize, VALUE: valueSize, MASK: mask === undefined ? 0 : mask[3] === 1 ? 2 : 1 }, libraries: [attentionRows] }),
    operands: operandsOf(mask !== undefined),
    uniforms: sizesOf(request, group, count),
    workgroups: [count * keyHeads * batch, 1, 1],
  };
  return { temporaries: [], dispatches: [dispatch] };
}

/** Query heads that share a key head. */
function shareOf(heads: number, keyHeads: number): number {
  if (heads % keyHeads !== 0) throw new RangeError(`${String(heads)} query heads do not share ${String(keyHeads)} key heads evenly`);
  return heads / keyHeads;
}

function operandsOf(mask: boolean): Dispatch['operands'] {
  return [...['q', 'k', 'v', ...(mask ? ['mask'] : [])].map((buffer) => ({ buffer, access: 'read' }) as const), { buffer: 'y', access: 'write' }];
}

/** `Sizes` of attention-rows.cu. */
function sizesOf({ keyHeads, queries, keys, headSize, valueSize, causal, scale, cap, qStrides, kStrides, vStrides, yStrides, mask }: AttentionRequest, group: number, tiles: number): Uint32Array {
  return uniformWords([
    ...[keyHeads, group, queries, keys, headSize, valueSize, group * queries, tiles, Number(causal), { float: scale }, { float: cap }],
    ...[...qStrides, ...kStrides, ...vStrides, ...yStrides, ...(mask ?? [0, 0, 0, 0])],
  ]);
}

/**
 * Attention without a stored score matrix; see `AttentionRequest`.
 * @param narrow true to multiply in bfloat16 on tensor cores where heads suit them
 * @throws RangeError when a head is wider than 256, or when query heads do not share key heads evenly
 */
export function attention(request: AttentionRequest, traits: DeviceTraits, narrow = false): Program {
  const { batch, heads, keyHeads, queries, headSize, valueSize, mask } = request;
  if (headSize > largestSize || valueSize > largestSize) {
    throw new RangeError(`attention over heads of ${String(headSize)} and ${String(valueSize)} features; at most ${String(largestSize)} are computed`);
  }
  if (heads * batch * queries * valueSize === 0) return { temporaries: [], dispatches: [] };
  const group = shareOf(heads, keyHeads);
  const onTensorCores = narrow ? tensorAttention(request) : undefined;
  if (onTensorCores !== undefined) return onTensorCores;
  const rows = group * queries;
  const head = Math.max(4, Math.ceil(headSize / 4) * 4);
  const features = Math.ceil(valueSize / 16);
  const fitting = tiles.filter((tile) => tileMemory(tile, head, features) <= traits.workgroupMemory);
  // Few rows, as when tokens are generated one by one, would leave most of a large tile idle.
  const tile = fitting.find(({ height }) => rows > 8 * height) ?? fitting.at(-1);
  if (tile === undefined) throw new RangeError(`attention over heads of ${String(headSize)} features does not fit into ${String(traits.workgroupMemory)} bytes of shared memory`);
  const count = Math.ceil(rows / (16 * tile.height));
  const dispatch: Dispatch = {
    kernel: kernel('attention', text, {
      values: { HEAD: head, FEATURES: features, HEIGHT: tile.height, KEYS: tile.keys, MASK: Number(mask !== undefined) },
      libraries: [attentionRows],
      workgroupMemory: tileMemory(tile, head, features),
    }),
    operands: operandsOf(mask !== undefined),
    uniforms: sizesOf(request, group, count),
    workgroups: [count * keyHeads * batch, 1, 1],
  };
  return { temporaries: [], dispatches: [dispatch] };
}
