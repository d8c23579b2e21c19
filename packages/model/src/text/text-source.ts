import { pareError, type FileSystem, type TextSource } from '@pare/core';
import { defaultFiles } from '@pare/platform';
import { readText } from '../store/read-file.js';
import { readJsonLines } from './json-lines.js';

/**
 * A text file as a source: plain text as it stands (no line ends are changed), or for `.jsonl` the `text` of every line, with an empty line
 * between two.
 *
 * @throws PARE_FILE_UNREADABLE, PARE_JSON_LINE_INVALID, when the text is read
 */
export function fileText(path: string, files: FileSystem = defaultFiles): TextSource {
  return { name: path, text: () => (path.endsWith('.jsonl') ? jsonLinesText(path, files) : readText(path, files)) };
}

async function jsonLinesText(path: string, files: FileSystem): Promise<string> {
  const texts: string[] = [];
  for await (const { line, value } of readJsonLines(path, files)) {
    const text = typeof value === 'object' && value !== null ? (value as { text?: unknown }).text : undefined;
    if (typeof text !== 'string') throw pareError('PARE_JSON_LINE_INVALID', { file: path, line, problem: 'it has no "text" string' });
    texts.push(text);
  }
  return texts.join('\n\n');
}
