import { openModel, openTokenizer } from '@pare/model';
import { readdir } from 'node:fs/promises';
import { describe, expect, it } from 'vitest';
import { architectures, fixtureNames, openFixture, sampleText, temporaryDirectory, tinyModel, tinyTokenizerJson, writeSyntheticLlama } from './index.js';

describe('fixtures', () => {
  it.each(fixtureNames)('%s opens', async (name) => {
    await using model = await openFixture(name);
    expect(model.description.blocks).toHaveLength(2);
  });
});

describe('tinyModel', () => {
  it('has a tokenizer for its vocabulary and goes away', async () => {
    let path: string;
    {
      await using folder = await tinyModel('gpt2');
      path = folder.path;
      const tokenizer = await openTokenizer(folder.model);
      expect(tokenizer.vocabularySize).toBe(160);
      const text = sampleText(500);
      const ids = tokenizer.encode(text);
      expect(tokenizer.decode(ids)).toBe(text);
      expect(ids.length).toBeLessThan(text.length);
      expect(ids.every((id) => id > 2 && id < 160)).toBe(true);
    }
    await expect(readdir(path)).rejects.toThrow('ENOENT');
  });
});

describe('tinyTokenizerJson', () => {
  it('has exactly as many tokens as asked for', () => {
    const { model } = tinyTokenizerJson(120) as { model: { vocab: Record<string, number>; merges: string[] } };
    expect(new Set(Object.values(model.vocab)).size).toBe(120);
    expect(model.merges).toHaveLength(21);
    expect(() => tinyTokenizerJson(98)).toThrow(RangeError);
    expect(() => tinyTokenizerJson(300)).toThrow(RangeError);
  });
});

describe('writeSyntheticLlama', () => {
  it('writes a model of the sizes asked for, the same for the same seed', async () => {
    await using folder = await temporaryDirectory();
    for (const name of ['a', 'b']) await writeSyntheticLlama(folder.join(name), { layers: 3, hidden: 32, intermediate: 48, heads: 4, kvHeads: 2 });
    await using a = await openModel(folder.join('a'), { architectures });
    await using b = await openModel(folder.join('b'), { architectures });
    expect(a.description.blocks).toHaveLength(3);
    const weight = await a.denseWeight('model.layers.2.mlp.down_proj');
    expect(weight.shape).toEqual([32, 48]);
    expect(weight.data).toEqual((await b.denseWeight('model.layers.2.mlp.down_proj')).data);
    expect(Math.sqrt(weight.data.reduce((sum, value) => sum + value * value, 0) / weight.data.length)).toBeCloseTo(0.02, 3);
  });
});

describe('sampleText', () => {
  it('depends on its seed only', () => {
    expect(sampleText(100, 1)).toBe(sampleText(100, 1));
    expect(sampleText(100, 1)).not.toBe(sampleText(100, 2));
    expect(sampleText(100)).toHaveLength(100);
  });
});
