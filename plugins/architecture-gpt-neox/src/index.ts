import { ConfigReader, defineArchitecture, type Architecture, type BlockDescription, type LinearDescription, type NormDescription } from '@pare/core';

/** GPT-NeoX and Pythia: partial rotary, query-key-value rows interleaved by head, attention and MLP side by side on the residual stream. */
export const gptNeoxArchitecture: Architecture = defineArchitecture({
  id: 'gpt-neox',
  api: 1,
  title: 'GPT-NeoX',
  summary: 'GPT-NeoX and Pythia.',
  modelTypes: ['gpt_neox'],
  basePrefix: 'gpt_neox.',
  describe(values) {
    const config = new ConfigReader(values);
    config.require('model_type', ['gpt_neox'], 'gpt_neox');
    const hidden = config.integer('hidden_size');
    const layers = config.integer('num_hidden_layers');
    const heads = config.integer('num_attention_heads');
    if (hidden % heads !== 0) config.fail('num_attention_heads', heads, `a divisor of hidden_size (${String(hidden)})`);
    const headSize = hidden / heads;
    const inner = config.integer('intermediate_size');
    const maxPositions = config.integer('max_position_embeddings', 2048);
    const epsilon = config.positive('layer_norm_eps', 1e-5);
    const activation = config.activation('hidden_act', 'gelu');
    const attentionBias = config.boolean('attention_bias', true);
    const parallelResidual = config.boolean('use_parallel_residual', true);
    const rotary = config.rotary(headSize, maxPositions, { thetaKeys: ['rotary_emb_base'], partialKeys: ['rotary_pct'], partialFactor: 0.25 });

    const linear = (module: string, inFeatures: number, outFeatures: number, bias: boolean): LinearDescription => ({
      module,
      inFeatures,
      outFeatures,
      bias,
      layout: 'out-in',
    });
    const norm = (module: string): NormDescription => ({ kind: 'layer', module, epsilon, bias: true, weightOffset: 0 });

    const blocks = Array.from({ length: layers }, (_, index): BlockDescription => {
      const name = `gpt_neox.layers.${String(index)}`;
      return {
        name,
        attention: {
          projections: { kind: 'interleaved', fused: linear(`${name}.attention.query_key_value`, hidden, 3 * hidden, attentionBias) },
          output: linear(`${name}.attention.dense`, hidden, hidden, attentionBias),
          heads,
          kvHeads: heads,
          headSize,
          scale: 1 / Math.sqrt(headSize),
          rotary,
          slidingWindow: undefined,
          softcap: undefined,
          queryNorm: undefined,
          keyNorm: undefined,
        },
        mlp: {
          kind: 'plain',
          up: linear(`${name}.mlp.dense_h_to_4h`, hidden, inner, true),
          down: linear(`${name}.mlp.dense_4h_to_h`, inner, hidden, true),
          activation,
        },
        attentionNorm: norm(`${name}.input_layernorm`),
        postAttentionNorm: undefined,
        mlpNorm: norm(`${name}.post_attention_layernorm`),
        postMlpNorm: undefined,
        parallelResidual,
      };
    });

    return {
      architecture: 'gpt-neox',
      modelType: 'gpt_neox',
      hiddenSize: hidden,
      vocabularySize: config.integer('vocab_size'),
      maxPositions,
      embedding: { module: 'gpt_neox.embed_in', scale: 1, positions: undefined },
      blocks,
      finalNorm: norm('gpt_neox.final_layer_norm'),
      head: { module: 'embed_out', bias: false, tied: config.boolean('tie_word_embeddings', false), softcap: undefined },
    };
  },
});

export default gptNeoxArchitecture;
