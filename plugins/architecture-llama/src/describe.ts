import {
  fromBfloat16Bits,
  fromFloat16Bits,
  toBfloat16Bits,
  toFloat16Bits,
  type AttentionDescription,
  type BlockDescription,
  type ConfigReader,
  type DecoderDescription,
  type LinearDescription,
  type MlpDescription,
  type NormDescription,
} from '@pare/core';
import type { Variant } from './variants.js';

const linear = (module: string, inFeatures: number, outFeatures: number, bias: boolean): LinearDescription => ({
  module,
  inFeatures,
  outFeatures,
  bias,
  layout: 'out-in',
});

/** √hidden in the type the model was saved in: transformers multiplies by a tensor of the hidden states' type. */
function embeddingScale(hidden: number, config: ConfigReader): number {
  const root = Math.sqrt(hidden);
  const name = config.string(['dtype', 'torch_dtype'], 'float32');
  switch (name.replace(/^torch\./, '')) {
    case 'bfloat16':
      return fromBfloat16Bits(toBfloat16Bits(root));
    case 'float16':
      return fromFloat16Bits(toFloat16Bits(root));
    default:
      return Math.fround(root);
  }
}

/** The decoder of a configuration of the Llama layout. */
export function describeVariant(config: ConfigReader, modelType: string, variant: Variant): DecoderDescription {
  const hidden = config.integer('hidden_size');
  const layers = config.integer('num_hidden_layers');
  const heads = config.integer('num_attention_heads');
  const kvHeads = config.integer('num_key_value_heads', heads);
  if (heads % kvHeads !== 0) config.fail('num_key_value_heads', kvHeads, `a divisor of num_attention_heads (${String(heads)})`);
  if (hidden % heads !== 0 && variant.headSize === undefined) config.integer('head_dim');
  const headSize = config.integer('head_dim', variant.headSize ?? hidden / heads);
  const maxPositions = config.integer('max_position_embeddings', 2048);
  const epsilon = config.positive('rms_norm_eps', variant.epsilon ?? 1e-6);
  const activation = config.activation(variant.gemma ? ['hidden_activation', 'hidden_act'] : ['hidden_act', 'hidden_activation'], variant.gemma ? 'gelu_pytorch_tanh' : 'silu');
  const configBias = variant.biases === 'config' && config.boolean('attention_bias', false);
  const qkvBias = configBias || variant.biases === 'qkv';
  const mlpBias = variant.mlpBias === true && config.boolean('mlp_bias', false);
  if (variant.gemma) config.require('use_bidirectional_attention', [false], 'false: decoders see the past only');

  const rotary = config.rotary(headSize, maxPositions);
  if (rotary.dimensions !== headSize && !variant.partialRotary) {
    config.fail('partial_rotary_factor', rotary.dimensions / headSize, `1 for model type ${modelType}, whose heads rotate whole`);
  }

  const weightOffset = variant.gemma ? 1 : 0;
  const norm = (module: string): NormDescription => ({ kind: 'rms', module, epsilon, bias: false, weightOffset });
  const scale = variant.gemma ? 1 / Math.sqrt(config.positive('query_pre_attn_scalar', 256)) : 1 / Math.sqrt(headSize);
  const softcap = variant.gemma ? config.positiveOrOff('attn_logit_softcapping', 50) : undefined;
  const windows = variant.windows(config, layers);

  const attention = (name: string, slidingWindow: number | undefined): AttentionDescription => ({
    projections:
      variant.projections === 'fused'
        ? { kind: 'concatenated', fused: linear(`${name}.qkv_proj`, hidden, (heads + 2 * kvHeads) * headSize, qkvBias) }
        : {
            kind: 'separate',
            query: linear(`${name}.q_proj`, hidden, heads * headSize, qkvBias),
            key: linear(`${name}.k_proj`, hidden, kvHeads * headSize, qkvBias),
            value: linear(`${name}.v_proj`, hidden, kvHeads * headSize, qkvBias),
          },
    output: linear(`${name}.o_proj`, heads * headSize, hidden, configBias),
    heads,
    kvHeads,
    headSize,
    scale,
    rotary,
    slidingWindow,
    softcap,
    queryNorm: variant.headNorms ? norm(`${name}.q_norm`) : undefined,
    keyNorm: variant.headNorms ? norm(`${name}.k_norm`) : undefined,
  });

  const gated = (name: string, inner: number): { gate: LinearDescription; up: LinearDescription; down: LinearDescription } => ({
    gate: linear(`${name}.gate_proj`, hidden, inner, mlpBias),
    up: linear(`${name}.up_proj`, hidden, inner, mlpBias),
    down: linear(`${name}.down_proj`, inner, hidden, mlpBias),
  });
  const dense = (name: string): MlpDescription => {
    const inner = config.integer('intermediate_size');
    if (variant.projections === 'separate') return { kind: 'gated', ...gated(name, inner), activation };
    return {
      kind: 'gated-fused',
      gateUp: linear(`${name}.gate_up_proj`, hidden, 2 * inner, false),
      down: linear(`${name}.down_proj`, inner, hidden, false),
      activation,
    };
  };
  const mlp = variant.mixture ? mixture(config, hidden, layers, gated, dense, activation) : dense;

  const blocks = windows.map((window, index): BlockDescription => {
    const name = `model.layers.${String(index)}`;
    return {
      name,
      attention: attention(`${name}.self_attn`, window),
      mlp: mlp(`${name}.mlp`, index),
      attentionNorm: norm(`${name}.input_layernorm`),
      postAttentionNorm: variant.gemma ? norm(`${name}.post_attention_layernorm`) : undefined,
      mlpNorm: norm(variant.gemma ? `${name}.pre_feedforward_layernorm` : `${name}.post_attention_layernorm`),
      postMlpNorm: variant.gemma ? norm(`${name}.post_feedforward_layernorm`) : undefined,
      parallelResidual: false,
    };
  });

  const tied = config.boolean('tie_word_embeddings', variant.tied);
  return {
    architecture: 'llama',
    modelType,
    hiddenSize: hidden,
    vocabularySize: config.integer('vocab_size'),
    maxPositions,
    embedding: { module: 'model.embed_tokens', scale: variant.gemma ? embeddingScale(hidden, config) : 1, positions: undefined },
    blocks,
    finalNorm: norm('model.norm'),
    head: {
      module: 'lm_head',
      bias: false,
      tied,
      softcap: variant.gemma ? config.positiveOrOff('final_logit_softcapping', 30) : undefined,
    },
  };
}

/**
 * Qwen3-MoE: a layer is a mixture unless it is listed in `mlp_only_layers` or `decoder_sparse_step` skips it.
 * `expert` makes the three matrices of one expert, `dense` the plain MLP of the other layers.
 */
function mixture(
  config: ConfigReader,
  hidden: number,
  layers: number,
  expert: (name: string, inner: number) => { gate: LinearDescription; up: LinearDescription; down: LinearDescription },
  dense: (name: string) => MlpDescription,
  activation: MlpDescription['activation'],
): (name: string, layer: number) => MlpDescription {
  const count = config.integer(['num_experts', 'num_local_experts'], undefined, 0);
  const perToken = config.integer('num_experts_per_tok', 8);
  if (count > 0 && perToken > count) config.fail('num_experts_per_tok', perToken, `at most the number of experts (${String(count)})`);
  const inner = config.integer('moe_intermediate_size', 768);
  const normalizeProbabilities = config.boolean('norm_topk_prob', false);
  const step = config.integer('decoder_sparse_step', 1);
  const listed = config.find('mlp_only_layers')?.value ?? [];
  if (!Array.isArray(listed) || listed.some((layer) => !Number.isInteger(layer) || layer < 0 || layer >= layers)) {
    config.fail('mlp_only_layers', listed, `a list of layers from 0 to ${String(layers - 1)}`);
  }
  const denseLayers = new Set<unknown>(listed);
  return (name, layer) =>
    count === 0 || denseLayers.has(layer) || (layer + 1) % step !== 0
      ? dense(name)
      : {
          kind: 'moe',
          router: linear(`${name}.gate`, hidden, count, false),
          experts: Array.from({ length: count }, (_, index) => expert(`${name}.experts.${String(index)}`, inner)),
          expertsPerToken: perToken,
          normalizeProbabilities,
          activation,
        };
}
