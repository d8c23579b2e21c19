import { pareError } from '@pare/core';
import { createReadStream } from 'node:fs';
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
export async function* readJsonLines(file: string): AsyncGenerator<JsonLine> {
  let line = 0;
  for await (const text of readLines(file)) {
    line++;
    if (text.trim() !== '') yield { line, value: parseLine(file, line, text) };
  }
}

/** Lines end at line feeds only; `node:readline` also ends them at U+2028, which JSON strings may hold. */
async function* readLines(file: string): AsyncGenerator<string> {
  let rest = '';
  try {
    for await (const chunk of createReadStream(file, 'utf8') as AsyncIterable<string>) {
      const lines = (rest + chunk).split('\n');
      rest = lines.pop()!;
      yield* lines;
    }
  } catch (cause) {
    throw (cause as NodeJS.ErrnoException).syscall === undefined ? cause : unreadable(file, cause);
  }
  yield rest;
}

function parseLine(file: string, line: number, text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw pareError('PARE_JSON_LINE_INVALID', { file, line, problem: `not JSON (${(cause as Error).message})` }, cause);
  }
}
