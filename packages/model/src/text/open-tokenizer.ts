import type { Tokenizer as LibraryTokenizer } from '@huggingface/tokenizers';
import { pareError, type FileSystem, type Tokenizer } from '@pare/core';
import { defaultFiles } from '@pare/platform';
import { readTokenizerFiles, type TokenizerConfig, type TokenizerFiles } from './tokenizer-json.js';
import { cutBeforeWords, cutBetweenWords, mayCutBetweenWords } from './word-pieces.js';

/** A tokenizer that can stop early. */
export interface PrefixTokenizer extends Tokenizer {
  /** The first ids of a text: at least `count` of them, or all. The same as those of the whole text. */
  encodePrefix(text: string, count: number): Int32Array;
}

/** Characters encoded at once where a text may be cut. */
const partLength = 1 << 17;

/**
 * Opens the tokenizer of a model folder (`tokenizer.json`, with `tokenizer_config.json` beside it) through the library that transformers.js
 * uses. Ids are those of the Hugging Face tokenizers; about a megabyte of text a second. Nothing is fetched from a network.
 *
 * @throws PARE_TOKENIZER_MISSING, PARE_TOKENIZER_INVALID, PARE_FILE_UNREADABLE
 */
export async function openTokenizer(directory: string, fileSystem: FileSystem = defaultFiles): Promise<PrefixTokenizer> {
  const files = await readTokenizerFiles(directory, fileSystem);
  const library = await import('@huggingface/tokenizers');
  try {
    return new FolderTokenizer(new library.Tokenizer(cutBeforeWords(files.tokenizer), files.config), files);
  } catch (cause) {
    const problem = cause instanceof Error ? cause.message : String(cause);
    throw pareError('PARE_TOKENIZER_INVALID', { file: files.path, problem }, cause);
  }
}

class FolderTokenizer implements PrefixTokenizer {
  readonly vocabularySize: number;
  readonly bosToken: number | undefined;
  readonly eosToken: number | undefined;
  readonly #library: LibraryTokenizer;
  readonly #mayCut: boolean;
  readonly #cleanUp: boolean;

  constructor(library: LibraryTokenizer, { tokenizer, config }: TokenizerFiles) {
    this.#library = library;
    this.#mayCut = mayCutBetweenWords(tokenizer);
    this.#cleanUp = config['clean_up_tokenization_spaces'] === true;
    let highest = -1;
    for (const id of library.get_vocab().values()) highest = Math.max(highest, id);
    this.vocabularySize = highest + 1;
    this.bosToken = this.#special(config, 'bos_token');
    this.eosToken = this.#special(config, 'eos_token');
  }

  encode(text: string, options: { readonly specialTokens?: boolean } = {}): Int32Array {
    // Special tokens stand at the ends of the whole text, not of its parts.
    if (options.specialTokens === true) return Int32Array.from(this.#library.encode(text, { add_special_tokens: true }).ids);
    return this.encodePrefix(text, Infinity);
  }

  encodePrefix(text: string, count: number): Int32Array {
    const parts: number[][] = [];
    let total = 0;
    for (const part of this.#mayCut ? cutBetweenWords(text, partLength) : [text]) {
      const { ids } = this.#library.encode(part, { add_special_tokens: false });
      parts.push(ids);
      total += ids.length;
      if (total >= count) break;
    }
    const joined = new Int32Array(total);
    let at = 0;
    for (const part of parts) {
      joined.set(part, at);
      at += part.length;
    }
    return joined;
  }

  decode(ids: readonly number[] | Int32Array, options: { readonly skipSpecialTokens?: boolean } = {}): string {
    // The library refuses an empty list.
    if (ids.length === 0) return '';
    return this.#library.decode([...ids], { skip_special_tokens: options.skipSpecialTokens ?? false, clean_up_tokenization_spaces: this.#cleanUp });
  }

  #special(config: TokenizerConfig, name: string): number | undefined {
    const token = config[name];
    const content = typeof token === 'object' && token !== null ? (token as { content?: unknown }).content : token;
    return typeof content === 'string' ? this.#library.token_to_id(content) : undefined;
  }
}
