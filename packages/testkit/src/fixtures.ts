import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** The fixtures lie beside `src` and beside `dist`. */
const root = join(dirname(fileURLToPath(import.meta.url)), '..', 'fixtures');

/** Names of the tiny models, one for each kind of decoder that is supported. */
export const fixtureNames = [
  'gemma2',
  'gpt2',
  'gpt_neox',
  'llama',
  'llama-tied-rope-scaled',
  'mistral',
  'opt',
  'phi3',
  'qwen2',
  'qwen3',
  'qwen3_moe',
] as const;

export type FixtureName = (typeof fixtureNames)[number];

/** Folders of the fixtures. Read-only: copy a model with `tinyModel` to change it. */
export const fixtures = {
  root,
  /**
   * A tiny model of random weights: two blocks, hidden size 64, vocabulary 160, no tokenizer. `golden.safetensors` beside the weights holds `input_ids`
   * [2, 24] and what transformers computes from them: `logits`, `hidden_0` (embedding) to `hidden_n`.
   */
  model: (name: FixtureName): string => join(root, 'architectures', name),
  /** GPTQ inputs and results of real layers: `stats_*`, `golden_*`, `golden_report.json`. */
  golden: join(root, 'golden'),
} as const;

