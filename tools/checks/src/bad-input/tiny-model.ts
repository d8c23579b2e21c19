import { copyFileSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { root } from '../workspace.js';

/** A tensor of a safetensors header: type, shape, and the span of its bytes in the data. */
export interface HeaderEntry {
  dtype: string;
  shape: number[];
  data_offsets: [number, number];
}

/** Where the tokenizer of the tiny model comes from. */
const tales = join(root, 'examples/models/tales-7m');

/** Configuration of a Llama of two small layers that shares the vocabulary of tales-7m. */
export const tinyConfig = {
  architectures: ['LlamaForCausalLM'],
  model_type: 'llama',
  hidden_size: 64,
  intermediate_size: 96,
  num_hidden_layers: 2,
  num_attention_heads: 2,
  num_key_value_heads: 1,
  head_dim: 32,
  vocab_size: 4096,
  max_position_embeddings: 128,
  rms_norm_eps: 1e-5,
  rope_theta: 10000,
  hidden_act: 'silu',
  attention_bias: false,
  mlp_bias: false,
  tie_word_embeddings: true,
  bos_token_id: 0,
  eos_token_id: 0,
  torch_dtype: 'float32',
};

/** Names and shapes of the tiny model's tensors. */
export function tinyShapes(): Record<string, number[]> {
  const shapes: Record<string, number[]> = { 'model.embed_tokens.weight': [4096, 64], 'model.norm.weight': [64] };
  for (const layer of [0, 1]) {
    const prefix = `model.layers.${String(layer)}`;
    Object.assign(shapes, {
      [`${prefix}.input_layernorm.weight`]: [64],
      [`${prefix}.post_attention_layernorm.weight`]: [64],
      [`${prefix}.self_attn.q_proj.weight`]: [64, 64],
      [`${prefix}.self_attn.k_proj.weight`]: [32, 64],
      [`${prefix}.self_attn.v_proj.weight`]: [32, 64],
      [`${prefix}.self_attn.o_proj.weight`]: [64, 64],
      [`${prefix}.mlp.gate_proj.weight`]: [96, 64],
      [`${prefix}.mlp.up_proj.weight`]: [96, 64],
      [`${prefix}.mlp.down_proj.weight`]: [64, 96],
    });
  }
  return shapes;
}

/** A header over tensors laid out one behind the other, and the bytes of the data. */
export function layOut(shapes: Readonly<Record<string, readonly number[]>>): { header: Record<string, HeaderEntry>; bytes: number } {
  const header: Record<string, HeaderEntry> = {};
  let offset = 0;
  for (const [name, shape] of Object.entries(shapes)) {
    const bytes = 4 * shape.reduce((product, size) => product * size, 1);
    header[name] = { dtype: 'F32', shape: [...shape], data_offsets: [offset, offset + bytes] };
    offset += bytes;
  }
  return { header, bytes: offset };
}

/** A safetensors file: length of the header, header, data. */
export function safetensors(header: Readonly<Record<string, unknown>>, data: Uint8Array): Buffer {
  const text = Buffer.from(JSON.stringify(header));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(text.length));
  return Buffer.concat([length, text, data]);
}

/** Deterministic weights: small values around zero for matrices, ones for norms. */
export function tinyData(shapes: Readonly<Record<string, readonly number[]>>): Float32Array {
  const parts = Object.values(shapes).flatMap((shape) => {
    const count = shape.reduce((product, size) => product * size, 1);
    return [Float32Array.from({ length: count }, (_, index) => (shape.length === 1 ? 1 : 0.2 * Math.sin(1.3 * index + shape[0]!)))];
  });
  const all = new Float32Array(parts.reduce((sum, part) => sum + part.length, 0));
  let offset = 0;
  for (const part of parts) {
    all.set(part, offset);
    offset += part.length;
  }
  return all;
}

/** Writes the tiny model as a folder and returns its path. */
export function writeTinyModel(directory: string, changes: { readonly config?: object; readonly change?: (header: Record<string, HeaderEntry>, data: Float32Array) => void } = {}): string {
  mkdirSync(directory, { recursive: true });
  writeFileSync(join(directory, 'config.json'), JSON.stringify({ ...tinyConfig, ...changes.config }, undefined, 2));
  const shapes = tinyShapes();
  const { header } = layOut(shapes);
  const data = tinyData(shapes);
  changes.change?.(header, data);
  writeFileSync(join(directory, 'model.safetensors'), safetensors(header, new Uint8Array(data.buffer)));
  for (const name of ['tokenizer.json', 'tokenizer_config.json', 'special_tokens_map.json']) copyFileSync(join(tales, name), join(directory, name));
  return directory;
}
