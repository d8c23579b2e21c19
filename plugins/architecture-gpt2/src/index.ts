import { ConfigReader, defineArchitecture, type Architecture, type BlockDescription, type LinearDescription, type NormDescription } from '@pare/core';

/** GPT-2: learned positions, LayerNorm, one fused query-key-value matrix, plain MLP, weights stored [in, out]. */
export const gpt2Architecture: Architecture = defineArchitecture({
  id: 'gpt2',
  api: 1,
  title: 'GPT-2',
  summary: 'GPT-2 and models of its layout.',
  modelTypes: ['gpt2'],
  basePrefix: 'transformer.',
  describe(values) {
    const config = new ConfigReader(values);
    config.require('model_type', ['gpt2'], 'gpt2');
    const hidden = config.integer(['n_embd', 'hidden_size']);
    const layers = config.integer(['n_layer', 'num_hidden_layers']);
    const heads = config.integer(['n_head', 'num_attention_heads']);
    if (hidden % heads !== 0) config.fail('n_head', heads, `a divisor of n_embd (${String(hidden)})`);
    const headSize = hidden / heads;
    const inner = config.integer('n_inner', 4 * hidden);
    const epsilon = config.positive('layer_norm_epsilon', 1e-5);
    const activation = config.activation('activation_function', 'gelu_new');
    const scaled = config.boolean('scale_attn_weights', true);
    const scaledByLayer = config.boolean('scale_attn_by_inverse_layer_idx', false);
    config.require('add_cross_attention', [false], 'false: decoder-only models have no cross-attention');
    const tied = config.boolean('tie_word_embeddings', true);

    const linear = (module: string, inFeatures: number, outFeatures: number): LinearDescription => ({ module, inFeatures, outFeatures, bias: true, layout: 'in-out' });
    const norm = (module: string): NormDescription => ({ kind: 'layer', module, epsilon, bias: true, weightOffset: 0 });

    const blocks = Array.from({ length: layers }, (_, index): BlockDescription => {
      const name = `transformer.h.${String(index)}`;
      return {
        name,
        attention: {
          projections: { kind: 'concatenated', fused: linear(`${name}.attn.c_attn`, hidden, 3 * hidden) },
          output: linear(`${name}.attn.c_proj`, hidden, hidden),
          heads,
          kvHeads: heads,
          headSize,
          scale: (scaled ? 1 / Math.sqrt(headSize) : 1) / (scaledByLayer ? index + 1 : 1),
          rotary: undefined,
          slidingWindow: undefined,
          softcap: undefined,
          queryNorm: undefined,
          keyNorm: undefined,
        },
        mlp: { kind: 'plain', up: linear(`${name}.mlp.c_fc`, hidden, inner), down: linear(`${name}.mlp.c_proj`, inner, hidden), activation },
        attentionNorm: norm(`${name}.ln_1`),
        postAttentionNorm: undefined,
        mlpNorm: norm(`${name}.ln_2`),
        postMlpNorm: undefined,
        parallelResidual: false,
      };
    });

    return {
      architecture: 'gpt2',
      modelType: 'gpt2',
      hiddenSize: hidden,
      vocabularySize: config.integer('vocab_size'),
      maxPositions: config.integer(['n_positions', 'max_position_embeddings', 'n_ctx'], 1024),
      embedding: { module: 'transformer.wte', scale: 1, positions: { module: 'transformer.wpe', offset: 0 } },
      blocks,
      finalNorm: norm('transformer.ln_f'),
      head: { module: 'lm_head', bias: false, tied, softcap: undefined },
    };
  },
});

export default gpt2Architecture;
