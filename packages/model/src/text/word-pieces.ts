import type { TokenizerJson } from './tokenizer-json.js';

/** The mark that SentencePiece tokenizers put where a word begins. */
const mark = '▁';

/**
 * Adds a pre-tokenizer that cuts text before words, where that provably changes no id. SentencePiece-like tokenizers hand the whole text to
 * the model as one piece, and merging a megabyte at once takes ten times as long as merging its words.
 *
 * Byte-pair encoding: merging only ever makes tokens of the vocabulary, so when none has the mark behind another character, no merge
 * crosses such a place and the pieces merge independently. Metaspace with `split` asks for a piece per mark itself.
 */
export function cutBeforeWords(tokenizer: TokenizerJson): TokenizerJson {
  const steps = preTokenizerSteps(tokenizer);
  if (steps.some(({ type }) => type === 'ByteLevel')) return tokenizer;
  if (steps.some(({ type, split }) => type === 'Metaspace' && split !== false)) return withSplit(tokenizer, steps, `${mark}[^${mark}]*|[^${mark}]+`);
  if (tokenizer.model.type !== 'BPE' || !marksBeginWords(tokenizer.model.vocab)) return tokenizer;
  return withSplit(tokenizer, steps, `${mark}*[^${mark}]+|${mark}+`);
}

function withSplit(tokenizer: TokenizerJson, steps: readonly object[], pattern: string): TokenizerJson {
  // Inverted: the pieces are the matches, which cover the text.
  const split = { type: 'Split', pattern: { Regex: pattern }, behavior: 'Removed', invert: true };
  return { ...tokenizer, pre_tokenizer: { type: 'Sequence', pretokenizers: [...steps, split] } };
}

function marksBeginWords(vocabulary: unknown): boolean {
  if (typeof vocabulary !== 'object' || vocabulary === null || !Object.hasOwn(vocabulary, mark)) return false;
  const inside = new RegExp(`[^${mark}]${mark}`);
  return !Object.keys(vocabulary).some((token) => inside.test(token));
}

interface PreTokenizerStep {
  readonly type: string;
  readonly split?: boolean;
  readonly use_regex?: boolean;
  readonly add_prefix_space?: boolean;
  readonly pattern?: { readonly Regex?: string };
}

/** The pre-tokenizer as a list of steps. */
function preTokenizerSteps({ pre_tokenizer: step }: TokenizerJson): readonly PreTokenizerStep[] {
  if (step === null || step === undefined) return [];
  return step.type === 'Sequence' ? (step.pretokenizers as PreTokenizerStep[]) : [step as PreTokenizerStep];
}

/** Patterns that end a match between a letter and a space, whatever stands around them: GPT-2's, Llama 3's and Qwen 2's. */
const wordPatterns: readonly string[] = [
  "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+",
  "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+",
  "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+",
];

/** Normalizers that change nothing across a border of an ASCII letter and a space. */
const localNormalizers: readonly string[] = ['NFC', 'NFD', 'NFKC', 'NFKD'];

/**
 * True when a text may be cut before a space between two ASCII letters, its parts encoded one by one, and the ids joined: a pattern of
 * the pre-tokenizer cuts there in any case, nothing before it looks across, and no added token can straddle the cut.
 */
export function mayCutBetweenWords(tokenizer: TokenizerJson): boolean {
  const steps = preTokenizerSteps(tokenizer);
  const byteLevel = steps.find(({ type }) => type === 'ByteLevel');
  const cuts = steps.some(({ type, pattern }) => type === 'Split' && pattern?.Regex !== undefined && wordPatterns.includes(pattern.Regex));
  const local = tokenizer.normalizer === null || tokenizer.normalizer === undefined || localNormalizers.includes(tokenizer.normalizer.type);
  const plainTokens = tokenizer.added_tokens.every(
    ({ content, lstrip, rstrip }) => lstrip !== true && rstrip !== true && !/ |^[A-Za-z]|[A-Za-z]$/.test(content),
  );
  return local && plainTokens && byteLevel !== undefined && byteLevel.add_prefix_space === false && (cuts || byteLevel.use_regex !== false);
}

/** Cuts a text before spaces between ASCII letters into parts of about `length` characters. */
export function* cutBetweenWords(text: string, length: number): Generator<string> {
  const border = /[A-Za-z](?= [A-Za-z])/g;
  let start = 0;
  while (text.length - start > length) {
    border.lastIndex = start + length;
    if (border.exec(text) === null) break;
    yield text.slice(start, border.lastIndex);
    start = border.lastIndex;
  }
  if (start < text.length) yield text.slice(start);
}
