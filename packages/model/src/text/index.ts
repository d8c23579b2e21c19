export { openTokenizer, type PrefixTokenizer } from './open-tokenizer.js';
export { fileText } from './text-source.js';
export { readJsonLines, type JsonLine } from './json-lines.js';
export { tokenWindows, type WindowOptions } from './token-windows.js';
