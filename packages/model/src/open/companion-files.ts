import type { FileSystem } from '@pare/core';
import { unreadable } from '../store/read-file.js';

/** Files beside config and weights that belong to a model and are handed on with it: tokenizer, generation config, chat template, licence. */
const patterns: readonly RegExp[] = [
  /^tokenizer(_config)?\.json$/,
  /^(tokenizer|spiece|sentencepiece(\.bpe)?)\.model$/,
  /^(vocab|added_tokens|special_tokens_map)\.json$/,
  /^vocab\.txt$/,
  /^merges\.txt$/,
  /^generation_config\.json$/,
  /^chat_template\.(json|jinja)$/,
  /^(LICEN[CS]E|NOTICE|USE_POLICY)([.-][\w.-]*)?$/i,
];

/** True for the name of a file that goes along with a model's weights. */
export function isCompanionFile(name: string): boolean {
  return patterns.some((pattern) => pattern.test(name));
}

/** The companion files of a folder, sorted. @throws PARE_FILE_UNREADABLE */
export async function findCompanionFiles(directory: string, files: FileSystem): Promise<string[]> {
  try {
    const entries = await files.list(directory);
    return entries
      .filter((entry) => entry.kind !== 'folder' && isCompanionFile(entry.name))
      .map(({ name }) => name)
      .sort();
  } catch (cause) {
    throw unreadable(directory, cause);
  }
}
