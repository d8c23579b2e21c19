import { definePreset, noOptions } from '@pare/core';
import { describe, expect, it } from 'vitest';
import { describeOptions, describeType, optionsSchemaOf } from './describe.js';
import { recipeYaml, yamlValue } from './recipe-text.js';

describe('describeType', () => {
  it.each([
    [{ type: 'integer', minimum: 2, maximum: 8 }, 'integer, 2 to 8'],
    [{ type: 'integer', minimum: -9007199254740991, maximum: 9007199254740991 }, 'integer'],
    [{ type: 'number', exclusiveMinimum: 0 }, 'number, above 0'],
    [{ type: 'number', minimum: 0, exclusiveMaximum: 1 }, 'number, at least 0, below 1'],
    [{ type: 'integer', multipleOf: 16 }, 'integer, a multiple of 16'],
    [{ type: 'boolean' }, 'true or false'],
    [{ enum: ['minmax', 'mse', 'none'] }, '"minmax", "mse" or "none"'],
    [{ const: 4 }, '4'],
    [{ anyOf: [{ const: -1 }, { type: 'integer', minimum: 1 }] }, '-1 or integer, at least 1'],
    [{ type: 'array', items: { type: 'string' } }, 'list of string'],
    [{ type: 'object', properties: { a: { type: 'boolean' } } }, 'object { a: true or false }'],
    [{}, 'anything'],
  ])('%j is %s', (schema, words) => {
    expect(describeType(schema)).toBe(words);
  });
});

describe('describeOptions', () => {
  it('gives name, type, default and description', () => {
    expect(
      describeOptions({
        type: 'object',
        properties: { bits: { type: 'integer', default: 4, description: 'Bits of a code.' }, file: { type: 'string' }, note: { type: 'string' } },
        required: ['file'],
      }),
    ).toEqual([
      { name: 'bits', type: 'integer', default: '4', description: 'Bits of a code.' },
      { name: 'file', type: 'string', default: undefined, description: '' },
      { name: 'note', type: 'string', default: 'none', description: '' },
    ]);
    expect(describeOptions(noOptions['~standard'].jsonSchema.input({ target: 'draft-2020-12' }))).toEqual([]);
  });
  it('knows kinds without options', () => {
    expect(optionsSchemaOf(definePreset({ id: 'p', api: 1, title: '', summary: '', recipe: { version: 1, stages: [] } }))).toBeUndefined();
  });
});

describe('recipeYaml', () => {
  it('writes options with their descriptions beside them', () => {
    const text = recipeYaml(
      {
        version: 1,
        name: 'mine',
        stages: [
          {
            technique: 'gptq',
            options: { bits: 4, groupSize: -1, clip: 'mse', keep: 'yes' },
            targets: { include: ['linear'], exclude: ['/head$/'] },
            overrides: [{ match: 'model.layers.0.*', options: { bits: 8 } }],
          },
        ],
      },
      () => ({ properties: { bits: { description: 'Bits of a code.' } } }),
    );
    expect(text).toBe(`version: 1
name: mine
stages:
  - technique: gptq
    options:
      bits: 4        # Bits of a code.
      groupSize: -1
      clip: mse
      keep: "yes"
    targets: { include: ["linear"], exclude: ["/head$/"] }
    overrides:
      - { match: "model.layers.0.*", options: { bits: 8 } }
`);
  });
  it('quotes what YAML would read as something else', () => {
    expect(['a b', 'true', '4', '', 'x: y', 'plain'].map(yamlValue)).toEqual(['"a b"', '"true"', '"4"', '""', '"x: y"', 'plain']);
  });
});
