import type { ConfigReader } from '@pare/core';

/** Window of each layer's attention, or undefined where a layer sees everything before it. */
export type WindowRule = (config: ConfigReader, layers: number) => readonly (number | undefined)[];

/** In what a family differs from Llama. Defaults are those of the transformers configuration classes, which apply when a key is missing. */
export interface Variant {
  /** Size of a head when `head_dim` is missing; without it, hidden_size / num_attention_heads. */
  readonly headSize?: number;
  /** Biases of the query, key and value products and of the attention's output: fixed, or decided by `attention_bias`. */
  readonly biases: 'config' | 'none' | 'qkv';
  /** Whether `mlp_bias` is read. */
  readonly mlpBias?: boolean;
  readonly projections: 'separate' | 'fused';
  readonly headNorms?: boolean;
  readonly tied: boolean;
  readonly windows: WindowRule;
  readonly partialRotary?: boolean;
  readonly mixture?: boolean;
  /** Norms around both halves of a block, 1 + weight, soft caps, scaled embedding. */
  readonly gemma?: boolean;
  readonly epsilon?: number;
}

const everywhere = (window: number | undefined, layers: number): (number | undefined)[] => Array.from({ length: layers }, () => window);

const noWindows: WindowRule = (_, layers) => everywhere(undefined, layers);

/** One window for every layer, `null` for none. */
function sameWindow(fallback: number | undefined): WindowRule {
  return (config, layers) => everywhere(windowSize(config, fallback), layers);
}

/** `layer_types` when the file has it, else a rule by layer index. */
function byLayer(fallbackWindow: number, slides: (layer: number, config: ConfigReader) => boolean): WindowRule {
  return (config, layers) => {
    const window = windowSize(config, fallbackWindow);
    const types = config.choices('layer_types', layers, ['full_attention', 'sliding_attention']);
    if (window === undefined) {
      const sliding = types?.indexOf('sliding_attention') ?? -1;
      if (sliding >= 0) config.fail('sliding_window', null, `a window size, because layer_types[${String(sliding)}] is sliding_attention`);
      return everywhere(undefined, layers);
    }
    return Array.from({ length: layers }, (_, layer) => ((types === undefined ? slides(layer, config) : types[layer] === 'sliding_attention') ? window : undefined));
  };
}

/** A window of whole positions; `null` means none. */
function windowSize(config: ConfigReader, fallback: number | undefined): number | undefined {
  const size = config.positiveOrOff('sliding_window', fallback);
  if (size !== undefined && !Number.isSafeInteger(size)) config.fail('sliding_window', size, 'a whole number of positions, or null');
  return size;
}

/** Qwen: windows only with `use_sliding_window`, and then from layer `max_window_layers` on (or in every layer for the mixtures). */
function qwenWindows(fromLayer: 'max_window_layers' | 'first'): WindowRule {
  const enabled = byLayer(4096, (layer, config) => fromLayer === 'first' || layer >= config.integer('max_window_layers', 28, 0));
  return (config, layers) => (config.boolean('use_sliding_window', false) ? enabled(config, layers) : noWindows(config, layers));
}

/** Families by `model_type`. */
export const variants: Readonly<Record<string, Variant>> = {
  llama: { biases: 'config', mlpBias: true, projections: 'separate', tied: false, windows: noWindows },
  mistral: { biases: 'none', projections: 'separate', tied: false, windows: sameWindow(4096) },
  qwen2: { biases: 'qkv', projections: 'separate', tied: false, windows: qwenWindows('max_window_layers') },
  qwen3: { headSize: 128, biases: 'config', projections: 'separate', headNorms: true, tied: false, windows: qwenWindows('max_window_layers') },
  qwen3_moe: { biases: 'config', projections: 'separate', headNorms: true, tied: false, windows: qwenWindows('first'), mixture: true },
  phi3: { biases: 'none', projections: 'fused', tied: false, windows: sameWindow(undefined), partialRotary: true, epsilon: 1e-5 },
  gemma2: { headSize: 256, biases: 'config', projections: 'separate', tied: true, windows: byLayer(4096, (layer) => layer % 2 === 0), gemma: true },
};
