import { ConfigReader, defineArchitecture, type Architecture, type BlockDescription, type LinearDescription, type NormDescription } from '@pare/core';

/** PyTorch's LayerNorm default, which OPT does not configure. */
const epsilon = 1e-5;

/** OPT, in the variant of every size but 350M: norms before attention and MLP, embedding as wide as the blocks. */
export const optArchitecture: Architecture = defineArchitecture({
  id: 'opt',
  api: 1,
  title: 'OPT',
  summary: 'OPT with norms before each layer (every size but 350M).',
  modelTypes: ['opt'],
  basePrefix: 'model.',
  describe(values) {
    const config = new ConfigReader(values);
    config.require('model_type', ['opt'], 'opt');
    const hidden = config.integer('hidden_size');
    const layers = config.integer('num_hidden_layers');
    const heads = config.integer('num_attention_heads');
    if (hidden % heads !== 0) config.fail('num_attention_heads', heads, `a divisor of hidden_size (${String(hidden)})`);
    const headSize = hidden / heads;
    const inner = config.integer('ffn_dim');
    const activation = config.activation('activation_function', 'relu');
    const bias = config.boolean('enable_bias', true);
    config.require('do_layer_norm_before', [true], 'true: blocks with norms after each layer (OPT-350M) are not described');
    config.require('word_embed_proj_dim', [hidden], `${String(hidden)}, the hidden_size: embeddings with project_in and project_out are not described`);
    config.require('layer_norm_elementwise_affine', [true], 'true: norms have weights and biases');
    config.require('_remove_final_layer_norm', [false], 'false: the decoder ends with a norm');

    const linear = (module: string, inFeatures: number, outFeatures: number): LinearDescription => ({ module, inFeatures, outFeatures, bias, layout: 'out-in' });
    const norm = (module: string): NormDescription => ({ kind: 'layer', module, epsilon, bias: true, weightOffset: 0 });

    const blocks = Array.from({ length: layers }, (_, index): BlockDescription => {
      const name = `model.decoder.layers.${String(index)}`;
      return {
        name,
        attention: {
          projections: {
            kind: 'separate',
            query: linear(`${name}.self_attn.q_proj`, hidden, hidden),
            key: linear(`${name}.self_attn.k_proj`, hidden, hidden),
            value: linear(`${name}.self_attn.v_proj`, hidden, hidden),
          },
          output: linear(`${name}.self_attn.out_proj`, hidden, hidden),
          heads,
          kvHeads: heads,
          headSize,
          scale: 1 / Math.sqrt(headSize),
          rotary: undefined,
          slidingWindow: undefined,
          softcap: undefined,
          queryNorm: undefined,
          keyNorm: undefined,
        },
        mlp: { kind: 'plain', up: linear(`${name}.fc1`, hidden, inner), down: linear(`${name}.fc2`, inner, hidden), activation },
        attentionNorm: norm(`${name}.self_attn_layer_norm`),
        postAttentionNorm: undefined,
        mlpNorm: norm(`${name}.final_layer_norm`),
        postMlpNorm: undefined,
        parallelResidual: false,
      };
    });

    return {
      architecture: 'opt',
      modelType: 'opt',
      hiddenSize: hidden,
      vocabularySize: config.integer('vocab_size'),
      maxPositions: config.integer('max_position_embeddings', 2048),
      embedding: { module: 'model.decoder.embed_tokens', scale: 1, positions: { module: 'model.decoder.embed_positions', offset: 2 } },
      blocks,
      finalNorm: norm('model.decoder.final_layer_norm'),
      head: { module: 'lm_head', bias: false, tied: config.boolean('tie_word_embeddings', true), softcap: undefined },
    };
  },
});

export default optArchitecture;
