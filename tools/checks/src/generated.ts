import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { readText, root } from './workspace.js';

/** Compares a generated file with what lies in the repository, or writes it. Returns what is wrong. */
export function checkGenerated(path: string, text: string, write: boolean): string[] {
  const present = existsSync(join(root, path)) ? readText(path) : undefined;
  if (present === text) return [];
  if (write) {
    mkdirSync(dirname(join(root, path)), { recursive: true });
    writeFileSync(join(root, path), text);
    return [];
  }
  return [`${path} is ${present === undefined ? 'missing' : 'out of date'}: run "npm run generate"`];
}
