/* Peak memory must not grow with the number of layers: the same GPTQ recipe on random Llama models of 4, 8, 16 and 32 layers. */
import { copyFileSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { inputs, megabytes, round, runPare, table } from './lib.mjs';

const hidden = 512;
const mlp = 1408;
const vocabulary = 4096;
const { calibration } = inputs();
const tokenizerFrom = join(import.meta.dirname, '../../examples/models/tales-7m');

/** A random bfloat16 Llama checkpoint with the tales tokenizer. */
function writeModel(folder, layers) {
  mkdirSync(folder);
  const shapes = [['model.embed_tokens.weight', [vocabulary, hidden]], ['model.norm.weight', [hidden]]];
  for (let layer = 0; layer < layers; layer++) {
    const name = `model.layers.${layer}`;
    for (const part of ['q_proj', 'o_proj']) shapes.push([`${name}.self_attn.${part}.weight`, [hidden, hidden]]);
    for (const part of ['k_proj', 'v_proj']) shapes.push([`${name}.self_attn.${part}.weight`, [hidden / 2, hidden]]);
    for (const part of ['gate_proj', 'up_proj']) shapes.push([`${name}.mlp.${part}.weight`, [mlp, hidden]]);
    shapes.push([`${name}.mlp.down_proj.weight`, [hidden, mlp]], [`${name}.input_layernorm.weight`, [hidden]], [`${name}.post_attention_layernorm.weight`, [hidden]]);
  }
  const header = {};
  let offset = 0;
  for (const [name, shape] of shapes) {
    const bytes = shape.reduce((a, b) => a * b, 2);
    header[name] = { dtype: 'BF16', shape, data_offsets: [offset, offset + bytes] };
    offset += bytes;
  }
  const data = new Uint16Array(offset / 2);
  const word = new Uint32Array(1);
  const real = new Float32Array(word.buffer);
  let state = 12345;
  for (let index = 0; index < data.length; index++) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    real[0] = (state / 4294967296 - 0.5) * 0.08;
    data[index] = word[0] >>> 16;
  }
  for (const [name, shape] of shapes) if (shape.length === 1) data.fill(0x3f80, header[name].data_offsets[0] / 2, header[name].data_offsets[1] / 2);
  let json = JSON.stringify(header);
  json += ' '.repeat((8 - (json.length % 8)) % 8);
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(json.length));
  writeFileSync(join(folder, 'model.safetensors'), Buffer.concat([length, Buffer.from(json), Buffer.from(data.buffer)]));
  const config = {
    ...{ architectures: ['LlamaForCausalLM'], model_type: 'llama', dtype: 'bfloat16', hidden_size: hidden, intermediate_size: mlp, num_hidden_layers: layers },
    ...{ num_attention_heads: 8, num_key_value_heads: 4, head_dim: 64, hidden_act: 'silu', rms_norm_eps: 1e-5, rope_theta: 10000, max_position_embeddings: 1024 },
    ...{ tie_word_embeddings: true, vocab_size: vocabulary, bos_token_id: 0, eos_token_id: 0 },
  };
  writeFileSync(join(folder, 'config.json'), JSON.stringify(config));
  for (const file of ['tokenizer.json', 'tokenizer_config.json', 'special_tokens_map.json']) copyFileSync(join(tokenizerFrom, file), join(folder, file));
  return offset;
}

const folder = mkdtempSync(join(tmpdir(), 'pare-bench-'));
try {
  const rows = [['layers', 'weights', 'peak resident', 'against 4 layers', 'seconds']];
  let first;
  for (const layers of [4, 8, 16, 32]) {
    const model = join(folder, `layers-${layers}`);
    const bytes = writeModel(model, layers);
    const result = await runPare([
      ...['compress', model, '--recipe', 'gptq-w4', '--calibration', calibration, '--samples', '16', '--sequence-length', '256'],
      ...['--output', join(folder, `out-${layers}`), '--format', 'hf'],
    ]);
    first ??= result.peakBytes;
    rows.push([layers, megabytes(bytes), megabytes(result.peakBytes), `${round(result.peakBytes / first)}×`, round(result.seconds, 1)]);
    rmSync(model, { recursive: true });
  }
  table(rows);
} finally {
  rmSync(folder, { recursive: true, force: true });
}
