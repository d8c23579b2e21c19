/** How a linear layer lies in storage. `out-in` is torch's Linear, `in-out` GPT-2's Conv1D. */
export type LinearLayout = 'out-in' | 'in-out';

/** A weight matrix used as y = x·Wᵀ + b. Its module name is the tensor name without `.weight`. */
export interface LinearDescription {
  readonly module: string;
  readonly inFeatures: number;
  readonly outFeatures: number;
  readonly bias: boolean;
  readonly layout: LinearLayout;
}

/** A normalisation over the last axis. */
export interface NormDescription {
  readonly kind: 'rms' | 'layer';
  readonly module: string;
  readonly epsilon: number;
  readonly bias: boolean;
  /** Gemma stores w − 1 and multiplies by 1 + w: offset 1. */
  readonly weightOffset: number;
}

/** Rotary position embedding (RoFormer, arXiv 2104.09864), rotate-half convention. */
export interface RotaryDescription {
  readonly theta: number;
  /** Leading dimensions of a head that rotate; the rest pass through. */
  readonly dimensions: number;
  readonly scaling:
    | { readonly kind: 'none' }
    | { readonly kind: 'linear'; readonly factor: number }
    | { readonly kind: 'llama3'; readonly factor: number; readonly lowFrequencyFactor: number; readonly highFrequencyFactor: number; readonly originalMaxPositions: number };
}

/** Query, key and value products: three matrices, or one that yields all three. */
export type AttentionProjections =
  | { readonly kind: 'separate'; readonly query: LinearDescription; readonly key: LinearDescription; readonly value: LinearDescription }
  /** Rows (all queries, all keys, all values). */
  | { readonly kind: 'concatenated'; readonly fused: LinearDescription }
  /** Rows (head 0: query, key, value; head 1: …), as GPT-NeoX stores them. */
  | { readonly kind: 'interleaved'; readonly fused: LinearDescription };

export interface AttentionDescription {
  readonly projections: AttentionProjections;
  readonly output: LinearDescription;
  readonly heads: number;
  readonly kvHeads: number;
  readonly headSize: number;
  /** Factor on query·key, usually 1/√headSize. */
  readonly scale: number;
  readonly rotary: RotaryDescription | undefined;
  /** A query sees itself and the `slidingWindow − 1` positions before it. */
  readonly slidingWindow: number | undefined;
  /** c · tanh(score / c) before the mask. */
  readonly softcap: number | undefined;
  /** Norms over each head of query and key, before rotation. */
  readonly queryNorm: NormDescription | undefined;
  readonly keyNorm: NormDescription | undefined;
}

export type Activation = 'silu' | 'gelu' | 'gelu-tanh' | 'relu';

export type MlpDescription =
  | { readonly kind: 'plain'; readonly up: LinearDescription; readonly down: LinearDescription; readonly activation: Activation }
  | { readonly kind: 'gated'; readonly gate: LinearDescription; readonly up: LinearDescription; readonly down: LinearDescription; readonly activation: Activation }
  /** One matrix with rows (all gates, all ups), as Phi-3 stores them. */
  | { readonly kind: 'gated-fused'; readonly gateUp: LinearDescription; readonly down: LinearDescription; readonly activation: Activation }
  | {
      readonly kind: 'moe';
      readonly router: LinearDescription;
      readonly experts: readonly { readonly gate: LinearDescription; readonly up: LinearDescription; readonly down: LinearDescription }[];
      readonly expertsPerToken: number;
      /** Divide the chosen experts' probabilities by their sum. */
      readonly normalizeProbabilities: boolean;
      readonly activation: Activation;
    };

export interface BlockDescription {
  readonly name: string;
  readonly attention: AttentionDescription;
  readonly mlp: MlpDescription;
  /** Norm of the attention's input. */
  readonly attentionNorm: NormDescription;
  /** Norm of the attention's output before the residual sum (Gemma 2). */
  readonly postAttentionNorm: NormDescription | undefined;
  readonly mlpNorm: NormDescription;
  readonly postMlpNorm: NormDescription | undefined;
  /** GPT-NeoX: x + attention(norm₁ x) + mlp(norm₂ x). */
  readonly parallelResidual: boolean;
}

export interface EmbeddingDescription {
  readonly module: string;
  /** Factor on the looked-up rows (Gemma: √hidden rounded to the model's type). */
  readonly scale: number;
  /** Learned positions: row `position + offset` is added (OPT: offset 2). */
  readonly positions: { readonly module: string; readonly offset: number } | undefined;
}

export interface HeadDescription {
  readonly module: string;
  readonly bias: boolean;
  /** True when the matrix is the token embedding. */
  readonly tied: boolean;
  readonly softcap: number | undefined;
}

/** A decoder-only language model as data. Every graph of the model is generated from this; names are those of the stored tensors. */
export interface DecoderDescription {
  readonly architecture: string;
  readonly modelType: string;
  readonly hiddenSize: number;
  readonly vocabularySize: number;
  readonly maxPositions: number;
  readonly embedding: EmbeddingDescription;
  readonly blocks: readonly BlockDescription[];
  readonly finalNorm: NormDescription;
  readonly head: HeadDescription;
}

/** A model folder's `config.json`, parsed and otherwise untouched. */
export type ModelConfig = Readonly<Record<string, unknown>>;
