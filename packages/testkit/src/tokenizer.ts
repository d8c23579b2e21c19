import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';

/** Special tokens, which come first: ids 0, 1, 2. */
const specialTokens = ['<unk>', '<s>', '</s>'] as const;

/** Letters whose pairs become tokens, most frequent first. */
const frequentLetters = 'etaoinshrdlu';

/**
 * A byte-level BPE tokenizer of exactly this many tokens, as a `tokenizer.json` document: special tokens, printable ASCII, space, newline, then pairs of
 * frequent letters. Made for tiny vocabularies, so that calibration and evaluation work on models that come without a tokenizer.
 * @param vocabularySize at least 99; at most 255
 */
export function tinyTokenizerJson(vocabularySize: number): Record<string, unknown> {
  // Byte-level names: printable ASCII stands for itself, space is Ġ and newline Ċ.
  const characters = [...Array.from({ length: 94 }, (_, index) => String.fromCharCode(33 + index)), 'Ġ', 'Ċ'];
  const pairs = ['Ġ', ...frequentLetters].flatMap((first) => [...frequentLetters].map((second) => [first, second] as const));
  const merges = pairs.slice(0, vocabularySize - specialTokens.length - characters.length);
  const tokens = [...specialTokens, ...characters, ...merges.map(([first, second]) => first + second)];
  if (tokens.length !== vocabularySize) throw new RangeError(`a tiny vocabulary has 99 to ${String(99 + pairs.length)} tokens, not ${String(vocabularySize)}`);
  return {
    version: '1.0',
    truncation: null,
    padding: null,
    added_tokens: specialTokens.map((content, id) => ({ id, content, single_word: false, lstrip: false, rstrip: false, normalized: false, special: true })),
    normalizer: null,
    pre_tokenizer: { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true, use_regex: true },
    post_processor: null,
    decoder: { type: 'ByteLevel', add_prefix_space: true, trim_offsets: true, use_regex: true },
    model: {
      type: 'BPE',
      dropout: null,
      unk_token: '<unk>',
      continuing_subword_prefix: null,
      end_of_word_suffix: null,
      fuse_unk: false,
      byte_fallback: false,
      vocab: Object.fromEntries(tokens.map((token, id) => [token, id])),
      merges: merges.map(([first, second]) => `${first} ${second}`),
    },
  };
}

/** Puts a tiny tokenizer into a model folder. */
export async function writeTinyTokenizer(directory: string, vocabularySize: number): Promise<void> {
  await writeFile(join(directory, 'tokenizer.json'), JSON.stringify(tinyTokenizerJson(vocabularySize)));
  const config = { tokenizer_class: 'PreTrainedTokenizerFast', bos_token: '<s>', eos_token: '</s>', unk_token: '<unk>', clean_up_tokenization_spaces: false };
  await writeFile(join(directory, 'tokenizer_config.json'), JSON.stringify(config));
}
