import type { StoredTensor } from './results.js';

/** What stored bytes are for. Parts of compressed matrices first, then dense tensors by what they are in the model. */
export const sizeParts = ['codes', 'scales', 'zeros', 'indices', 'linear', 'embedding', 'head', 'norms', 'other'] as const;
export type SizePart = (typeof sizeParts)[number];

export const sizePartLabels: Readonly<Record<SizePart, string>> = {
  codes: 'Codes',
  scales: 'Scales',
  zeros: 'Zero points',
  indices: 'Group indices',
  linear: 'Linear layers, dense',
  embedding: 'Embedding, dense',
  head: 'Head, dense',
  norms: 'Norms',
  other: 'Other',
};

/** Which kind of module a tensor belongs to. */
export const moduleKinds = ['attention', 'feed-forward', 'embedding', 'head', 'norm', 'other'] as const;
export type ModuleKind = (typeof moduleKinds)[number];

export interface SizeBreakdown {
  readonly total: number;
  /** Bytes by part; parts without bytes are left out. */
  readonly parts: readonly { readonly part: SizePart; readonly bytes: number }[];
  /** Bytes by kind of module and part. */
  readonly kinds: readonly { readonly kind: ModuleKind; readonly bytes: number; readonly parts: readonly { readonly part: SizePart; readonly bytes: number }[] }[];
}

/** Suffixes of the tensors that a compressed matrix is stored as (compressed-tensors and GPTQ checkpoints). */
const packedParts: readonly (readonly [suffix: RegExp, part: SizePart])[] = [
  [/\.(weight_packed|qweight)$/, 'codes'],
  [/\.(weight_scale|scales)$/, 'scales'],
  [/\.(weight_zero_point|qzeros)$/, 'zeros'],
  [/\.(weight_g_idx|g_idx)$/, 'indices'],
  [/\.weight_shape$/, 'other'],
];

/** Kinds by the words that model families use in tensor names; the first match decides. */
const kindWords: readonly (readonly [pattern: RegExp, kind: ModuleKind])[] = [
  [/(^|[._])(layer_?norm|layernorm|norm|ln_\w+|ln|rms)([._\d]|$)|_layernorm|_norm/, 'norm'],
  [/(^|\.)(lm_head|embed_out|output)\./, 'head'],
  [/(^|\.)(embed_tokens|embed_positions|wte|wpe|embed_in|word_embeddings|position_embeddings|tok_embeddings)\./, 'embedding'],
  [/attn|attention/, 'attention'],
  [/(^|\.)(mlp|ffn|feed_forward|fc1|fc2|block_sparse_moe|experts)\./, 'feed-forward'],
];

export function moduleKindOf(tensor: string): ModuleKind {
  return kindWords.find(([pattern]) => pattern.test(tensor))?.[1] ?? 'other';
}

export function sizePartOf(tensor: string): SizePart {
  const packed = packedParts.find(([suffix]) => suffix.test(tensor));
  if (packed !== undefined) return packed[1];
  const kind = moduleKindOf(tensor);
  if (kind === 'norm') return 'norms';
  if (kind === 'embedding' || kind === 'head') return kind;
  return kind === 'other' ? 'other' : 'linear';
}

/** Bytes of stored weights by what they are for. Sums to the bytes of all tensors. */
export function breakDown(tensors: readonly StoredTensor[]): SizeBreakdown {
  const table = new Map<ModuleKind, Map<SizePart, number>>();
  for (const { name, bytes } of tensors) {
    const kind = moduleKindOf(name);
    const row = table.get(kind) ?? new Map<SizePart, number>();
    table.set(kind, row);
    const part = sizePartOf(name);
    row.set(part, (row.get(part) ?? 0) + bytes);
  }
  const listed = (bytesOf: (part: SizePart) => number): { part: SizePart; bytes: number }[] =>
    sizeParts.map((part) => ({ part, bytes: bytesOf(part) })).filter(({ bytes }) => bytes > 0);
  return {
    total: tensors.reduce((sum, { bytes }) => sum + bytes, 0),
    parts: listed((part) => [...table.values()].reduce((sum, row) => sum + (row.get(part) ?? 0), 0)),
    kinds: moduleKinds
      .filter((kind) => table.has(kind))
      .map((kind) => {
        const parts = listed((part) => table.get(kind)!.get(part) ?? 0);
        return { kind, bytes: parts.reduce((sum, { bytes }) => sum + bytes, 0), parts };
      }),
  };
}
