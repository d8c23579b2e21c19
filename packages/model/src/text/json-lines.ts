import { pareError, systemErrorCode, type FileSystem } from '@pare/core';
import { defaultFiles } from '@pare/platform';
import { unreadable } from '../store/read-file.js';

/** A value of a JSON Lines file and where it stands. */
export interface JsonLine {
  /** Counted from 1. */
  readonly line: number;
  readonly value: unknown;
}

/**
 * Reads a JSON Lines file line by line; empty lines are skipped.
 *
 * @throws PARE_FILE_UNREADABLE, PARE_JSON_LINE_INVALID with file and line
 */
export async function* readJsonLines(file: string, files: FileSystem = defaultFiles): AsyncGenerator<JsonLine> {
  let line = 0;
  for await (const text of readLines(file, files)) {
    line++;
    if (text.trim() !== '') yield { line, value: parseLine(file, line, text) };
  }
}

/** Lines end at line feeds only; `node:readline` also ends them at U+2028, which JSON strings may hold. */
async function* readLines(file: string, files: FileSystem): AsyncGenerator<string> {
  const decoder = new TextDecoder('utf-8', { ignoreBOM: true });
  let rest = '';
  try {
    for await (const chunk of files.chunks(file)) {
      const lines = (rest + decoder.decode(chunk, { stream: true })).split('\n');
      rest = lines.pop()!;
      yield* lines;
    }
  } catch (cause) {
    throw systemErrorCode(cause) === undefined ? cause : unreadable(file, cause);
  }
  yield rest + decoder.decode();
}

function parseLine(file: string, line: number, text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw pareError('PARE_JSON_LINE_INVALID', { file, line, problem: `not JSON (${(cause as Error).message})` }, cause);
  }
}
