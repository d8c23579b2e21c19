export { openTokenizer, type PrefixTokenizer } from './open-tokenizer.js';
export { fileText } from './text-source.js';
export { readJsonLines, type JsonLine } from './json-lines.js';
export { readTokenizerFiles, type TokenizerFiles } from './tokenizer-json.js';
export { tokenWindows, type WindowOptions } from './token-windows.js';
