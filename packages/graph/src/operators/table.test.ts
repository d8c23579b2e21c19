import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { operatorKey } from './operator-key.js';
import { isSupportedOperator, operatorNames, operatorSchema, operatorSchemas } from './table.js';

const cases = JSON.parse(readFileSync(new URL('../../../conformance/fixtures/onnx-node-tests/index.json', import.meta.url), 'utf8')) as { operator: string }[];

describe('operator table', () => {
  it('holds the operators of the node tests and those of onnxruntime', () => {
    const tested = new Set(cases.map((test) => test.operator));
    expect(tested.size).toBe(85);
    const microsoft = ['FastGelu', 'FusedMatMul', 'GatherBlockQuantized', 'Gelu', 'GroupQueryAttention', 'MatMulNBits', 'MultiHeadAttention', 'QuickGelu', 'RotaryEmbedding'];
    expect([...operatorNames].sort()).toEqual([...tested, 'SimplifiedLayerNormalization', ...microsoft.map((name) => `com.microsoft::${name}`)].sort());
    expect(new Set(operatorNames).size).toBe(operatorSchemas.size);
  });

  it('finds operators under both names of the standard set', () => {
    expect(isSupportedOperator('MatMul')).toBe(true);
    expect(isSupportedOperator('MatMul', 'ai.onnx')).toBe(true);
    expect(isSupportedOperator('MatMul', 'com.microsoft')).toBe(false);
    expect(operatorSchema('Gelu', 'com.microsoft')).not.toBe(operatorSchema('Gelu'));
    expect(operatorKey('Gelu', 'com.microsoft')).toBe('com.microsoft::Gelu');
  });

  it('describes parameters and attributes', () => {
    const schema = operatorSchema('Clip')!;
    expect(schema.inputs.map((input) => [input.name, input.type, input.optional])).toEqual([
      ['input', 'T', false],
      ['min', 'T', true],
      ['max', 'T', true],
    ]);
    expect([schema.minimumInputs, schema.maximumInputs, schema.maximumOutputs]).toEqual([1, 3, 1]);
    expect(operatorSchema('Concat')).toMatchObject({ minimumInputs: 1, maximumInputs: Infinity, attributes: { axis: { kind: 'int', required: true } } });
    expect(operatorSchema('GroupQueryAttention', 'com.microsoft')).toMatchObject({ minimumInputs: 7, minimumOutputs: 1, maximumOutputs: 4 });
  });
});
