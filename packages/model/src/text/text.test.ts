import { isPareError, type TextSource, type Tokenizer } from '@pare/core';
import { createHash } from 'node:crypto';
import { cp, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { readJsonLines, type JsonLine } from './json-lines.js';
import { openTokenizer, type PrefixTokenizer } from './open-tokenizer.js';
import { fileText } from './text-source.js';
import { tokenWindows } from './token-windows.js';
import type { TokenizerJson } from './tokenizer-json.js';
import { cutBeforeWords, cutBetweenWords, mayCutBetweenWords } from './word-pieces.js';

const examples = join(import.meta.dirname, '../../../../examples');
const tales = join(examples, 'models/tales-7m');

interface Golden {
  readonly files: readonly { file: string; count: number; sha256: string; first: number[]; last: number[] }[];
  readonly texts: readonly { text: string; ids: number[] }[];
}
const golden = JSON.parse(await readFile(join(import.meta.dirname, '../../fixtures/token-ids.json'), 'utf8')) as Golden;

let folder: string;
let tokenizer: PrefixTokenizer;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'pare-text-'));
  tokenizer = await openTokenizer(tales);
});
afterAll(() => rm(folder, { recursive: true }));

async function failure(action: () => Promise<unknown>): Promise<{ code: string; message: string; help: string }> {
  const error: unknown = await action().then(
    () => undefined,
    (reason: unknown) => reason,
  );
  if (!isPareError(error)) throw new Error(`expected a PareError, got ${String(error)}`);
  return error;
}

describe('openTokenizer', () => {
  it.each(golden.files)('gives $file the ids of the Python library', async ({ file, count, sha256, first, last }) => {
    const ids = tokenizer.encode(await readFile(join(examples, 'data', file), 'utf8'));
    expect(ids.length).toBe(count);
    expect([...ids.slice(0, 16)]).toEqual(first);
    expect([...ids.slice(-4)]).toEqual(last);
    expect(createHash('sha256').update(new Uint8Array(ids.buffer)).digest('hex')).toBe(sha256);
  });

  it.each(golden.texts)('gives $text the ids of the Python library, and the text back', ({ text, ids }) => {
    expect([...tokenizer.encode(text)]).toEqual(ids);
    expect(tokenizer.decode(ids)).toBe(text);
  });

  it('knows its vocabulary and special tokens', () => {
    expect(tokenizer.vocabularySize).toBe(4096);
    expect([tokenizer.bosToken, tokenizer.eosToken]).toEqual([0, 0]);
    expect(tokenizer.decode([0, ...tokenizer.encode('Hello'), 3], { skipSpecialTokens: true })).toBe('Hello');
    expect(tokenizer.decode(Int32Array.of(0))).toBe('<|endoftext|>');
    expect([...tokenizer.encode('Hello', { specialTokens: true })]).toEqual([...tokenizer.encode('Hello')]);
  });

  it('gives a text the ids that transformers.js gives it', async () => {
    const { AutoTokenizer, env } = await import('@huggingface/transformers');
    env.allowRemoteModels = false;
    env.localModelPath = join(examples, 'models');
    const theirs = await AutoTokenizer.from_pretrained('tales-7m');
    const text = (await readFile(join(examples, 'data/tales-evaluation.txt'), 'utf8')).slice(0, 20_000);
    expect([...tokenizer.encode(text)]).toEqual(theirs.encode(text, { add_special_tokens: false }));
  });

  it('stops early with the same ids', async () => {
    const text = await readFile(join(examples, 'data/tales-evaluation.txt'), 'utf8');
    const prefix = tokenizer.encodePrefix(text, 40_000);
    expect(prefix.length).toBeGreaterThanOrEqual(40_000);
    expect(prefix.length).toBeLessThan(120_000);
    expect(Buffer.compare(Buffer.from(prefix.buffer), Buffer.from(tokenizer.encode(text).buffer, 0, prefix.byteLength))).toBe(0);
  });

  it('reads special tokens from objects and from special_tokens_map.json, and adds them when asked', async () => {
    const path = join(folder, 'special');
    await cp(tales, path, { recursive: true, filter: (source) => !source.endsWith('model.safetensors') });
    await writeFile(join(path, 'tokenizer_config.json'), JSON.stringify({ eos_token: { __type: 'AddedToken', content: '<|im_end|>' } }));
    const json = JSON.parse(await readFile(join(path, 'tokenizer.json'), 'utf8')) as Record<string, unknown>;
    json['post_processor'] = {
      type: 'TemplateProcessing',
      single: [{ SpecialToken: { id: '<|im_start|>', type_id: 0 } }, { Sequence: { id: 'A', type_id: 0 } }],
      pair: [],
      special_tokens: { '<|im_start|>': { id: '<|im_start|>', ids: [1], tokens: ['<|im_start|>'] } },
    };
    await writeFile(join(path, 'tokenizer.json'), JSON.stringify(json));
    const special = await openTokenizer(path);
    expect([special.bosToken, special.eosToken]).toEqual([0, 2]);
    expect([...special.encode('Hello', { specialTokens: true })]).toEqual([1, ...tokenizer.encode('Hello')]);
    expect([...special.encode('Hello')]).toEqual([...tokenizer.encode('Hello')]);
  });

  const bad: [string, Record<string, string>, string, RegExp][] = [
    [
      'no tokenizer',
      { 'tokenizer.model': '', 'vocab.json': '{}' },
      'PARE_TOKENIZER_MISSING',
      /no tokenizer\.json \(tokenizer files there: tokenizer\.model, vocab\.json\)/,
    ],
    ['a tokenizer that is not JSON', { 'tokenizer.json': '{' }, 'PARE_TOKENIZER_INVALID', /tokenizer\.json: it is not JSON/],
    ['a tokenizer without a model', { 'tokenizer.json': '{}' }, 'PARE_TOKENIZER_INVALID', /no "model" object/],
    [
      'a kind of model that the library lacks',
      { 'tokenizer.json': '{"model":{"type":"Guess"},"decoder":null,"post_processor":null,"pre_tokenizer":null,"normalizer":null}' },
      'PARE_TOKENIZER_INVALID',
      /Guess/,
    ],
    [
      'a configuration that is a list',
      { 'tokenizer.json': '{"model":{}}', 'tokenizer_config.json': '[]' },
      'PARE_TOKENIZER_INVALID',
      /tokenizer_config\.json: it is no JSON object/,
    ],
  ];
  it.each(bad)('refuses %s', async (name, files, code, message) => {
    const path = join(folder, name);
    await mkdir(path);
    for (const [file, text] of Object.entries(files)) await writeFile(join(path, file), text);
    const error = await failure(() => openTokenizer(path));
    expect(error.code).toBe(code);
    expect(error.message).toMatch(message);
  });

  it('refuses a folder that is not there', async () => {
    expect((await failure(() => openTokenizer(join(folder, 'nowhere')))).code).toBe('PARE_FILE_UNREADABLE');
  });
});

describe('cutting texts', () => {
  /** Byte-pair encoding as Llama 2 has it: one piece for the whole text, words marked. */
  function sentencePiece(merges: [string, string][], changes: object = {}): TokenizerJson {
    const tokens = ['<unk>', '▁', ...'abcdefgh\n', ...merges.map(([left, right]) => left + right)];
    return {
      model: { type: 'BPE', vocab: Object.fromEntries(tokens.map((token, id) => [token, id])), merges, unk_token: '<unk>' },
      normalizer: {
        type: 'Sequence',
        normalizers: [
          { type: 'Prepend', prepend: '▁' },
          { type: 'Replace', pattern: { String: ' ' }, content: '▁' },
        ],
      },
      pre_tokenizer: null,
      post_processor: null,
      decoder: null,
      added_tokens: [],
      ...changes,
    } as TokenizerJson;
  }
  const merges: [string, string][] = [
    ['a', 'b'],
    ['▁', 'a'],
    ['▁', 'ab'],
    ['▁', '▁'],
    ['▁▁', '▁'],
    ['c', 'd'],
    ['▁▁', 'ab'],
    ['\n', 'a'],
  ];
  const text = Array.from({ length: 3000 }, (_, index) => 'ab  c da\n'[(index * index + (index >> 3)) % 9]).join('');

  it('leaves the ids of sentence-piece vocabularies as they are', async () => {
    const { Tokenizer: LibraryTokenizer } = await import('@huggingface/tokenizers');
    const plain = sentencePiece(merges);
    const cut = cutBeforeWords(plain);
    expect(cut.pre_tokenizer).not.toBeNull();
    expect(new LibraryTokenizer(cut, {}).encode(text).ids).toEqual(new LibraryTokenizer(plain, {}).encode(text).ids);
  });

  it('does not cut where a token holds a mark inside', () => {
    const plain = sentencePiece([...merges, ['a', '▁']]);
    expect(cutBeforeWords(plain)).toBe(plain);
  });

  it('cuts at every mark where Metaspace asks for it, and not where it does not', async () => {
    const { Tokenizer: LibraryTokenizer } = await import('@huggingface/tokenizers');
    const metaspace = (split: boolean) =>
      sentencePiece(merges, { normalizer: null, pre_tokenizer: { type: 'Metaspace', replacement: '▁', prepend_scheme: 'always', split } });
    const ids = (json: TokenizerJson) => new LibraryTokenizer(cutBeforeWords(json), {}).encode('ab  ab').tokens;
    expect(ids(metaspace(true))).toEqual(['▁ab', '▁', '▁ab']);
    expect(ids(metaspace(false))).toEqual(new LibraryTokenizer(metaspace(false), {}).encode('ab  ab').tokens);
  });

  it('cuts only between ASCII letters and a space', () => {
    const parts = [...cutBetweenWords('aa bb 1 cc é dd ee', 4)];
    expect(parts.join('')).toBe('aa bb 1 cc é dd ee');
    expect(parts).toEqual(['aa bb 1 cc é dd', ' ee']);
    expect([...cutBetweenWords('no cut here', 100)]).toEqual(['no cut here']);
    expect([...cutBetweenWords('', 4)]).toEqual([]);
  });

  it.each([
    ['byte-level with its pattern', {}, true],
    ['NFC before it', { normalizer: { type: 'NFC' } }, true],
    ['lower case before it', { normalizer: { type: 'Lowercase' } }, false],
    ['a space added in front', { pre_tokenizer: { type: 'ByteLevel', add_prefix_space: true, use_regex: true } }, false],
    ['no pattern', { pre_tokenizer: { type: 'ByteLevel', add_prefix_space: false, use_regex: false } }, false],
    [
      'an unknown pattern',
      {
        pre_tokenizer: {
          type: 'Sequence',
          pretokenizers: [
            { type: 'Split', pattern: { Regex: 'x' } },
            { type: 'ByteLevel', add_prefix_space: false, use_regex: false },
          ],
        },
      },
      false,
    ],
    ['an added token with a space', { added_tokens: [{ content: 'two words' }] }, false],
    ['an added token that eats spaces', { added_tokens: [{ content: '<mask>', lstrip: true }] }, false],
    ['an added word', { added_tokens: [{ content: 'MASK' }] }, false],
  ])('judges %s', (_, changes, expected) => {
    const json = {
      model: {},
      normalizer: null,
      pre_tokenizer: { type: 'ByteLevel', add_prefix_space: false, use_regex: true },
      added_tokens: [{ content: '<s>' }],
      ...changes,
    };
    expect(mayCutBetweenWords(json as TokenizerJson)).toBe(expected);
  });
});

describe('texts', () => {
  it('reads plain text as it stands', async () => {
    const path = join(folder, 'plain.txt');
    await writeFile(path, 'one\r\ntwo\u2028\n');
    expect(fileText(path).name).toBe(path);
    expect(await fileText(path).text()).toBe('one\r\ntwo\u2028\n');
    expect((await failure(() => fileText(join(folder, 'none.txt')).text())).code).toBe('PARE_FILE_UNREADABLE');
  });

  it('joins the texts of JSON lines', async () => {
    const path = join(folder, 'texts.jsonl');
    await writeFile(path, '{"text":"one\u2028"}\r\n\n{"text":"two","label":1}');
    expect(await fileText(path).text()).toBe('one\u2028\n\ntwo');
  });

  it.each([
    ['{"text":"a"}\n{"text":', 2, /:2: not JSON/],
    ['{"text":"a"}\n\n[1]\n', 3, /:3: it has no "text" string/],
    ['{"body":"a"}', 1, /:1: it has no "text" string/],
  ])('names file and line of %j', async (content, line, message) => {
    const path = join(folder, 'bad.jsonl');
    await writeFile(path, content);
    const error = await failure(() => fileText(path).text());
    expect(error).toMatchObject({ code: 'PARE_JSON_LINE_INVALID', data: { file: path, line } });
    expect(error.message).toMatch(message);
  });

  it('streams JSON lines', async () => {
    const path = join(folder, 'many.jsonl');
    await writeFile(path, Array.from({ length: 20_000 }, (_, index) => JSON.stringify({ index, pad: 'é'.repeat(20) })).join('\n'));
    const lines: JsonLine[] = [];
    for await (const line of readJsonLines(path)) lines.push(line);
    expect(lines).toHaveLength(20_000);
    expect(lines[19_999]).toEqual({ line: 20_000, value: { index: 19_999, pad: 'é'.repeat(20) } });
    const missing = readJsonLines(join(folder, 'none.jsonl'));
    expect((await failure(() => missing.next())).code).toBe('PARE_FILE_UNREADABLE');
  });
});

describe('tokenWindows', () => {
  const source = (text: string): TextSource => ({ name: 'memory', text: () => Promise.resolve(text) });
  /** A token per character. */
  const characters: Tokenizer = {
    vocabularySize: 65536,
    bosToken: undefined,
    eosToken: undefined,
    encode: (text) => Int32Array.from(text, (character) => character.charCodeAt(0)),
    decode: (ids) => String.fromCharCode(...ids),
  };

  it('takes the first windows and leaves the rest out', async () => {
    const windows = await tokenWindows(characters, source('abcdefgh'), { samples: 2, sequenceLength: 3 });
    expect(windows.map((window) => characters.decode(window))).toEqual(['abc', 'def']);
    const all = await tokenWindows(characters, source('abcdefgh'), { sequenceLength: 4 });
    expect(all.map((window) => characters.decode(window))).toEqual(['abcd', 'efgh']);
  });

  it('says what fits when the text is too short', async () => {
    const error = await failure(() => tokenWindows(characters, source('abcdefgh'), { samples: 3, sequenceLength: 3 }));
    expect(error).toMatchObject({ code: 'PARE_CALIBRATION_TOO_SHORT', data: { file: 'memory', found: 8, needed: 9, samples: 3, length: 3 } });
    expect(error.help).toContain('at most 2 windows');
    expect((await failure(() => tokenWindows(characters, source('ab'), { sequenceLength: 3 }))).code).toBe('PARE_CALIBRATION_TOO_SHORT');
  });

  it('stops early with the windows of the whole text', async () => {
    const text = fileText(join(examples, 'data/tales-evaluation.txt'));
    const windows = await tokenWindows(tokenizer, text, { samples: 64, sequenceLength: 512 });
    const whole = tokenizer.encode(await text.text());
    expect(windows).toHaveLength(64);
    expect([...windows[63]!]).toEqual([...whole.slice(63 * 512, 64 * 512)]);
  });
});
