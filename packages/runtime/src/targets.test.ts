import type { ModuleInfo } from '@pare/core';
import { describe, expect, it } from 'vitest';
import { compilePattern } from './module-patterns.js';
import { compileOverrides, selectTargets } from './targets.js';

function module(name: string, extra: Partial<ModuleInfo> = {}): ModuleInfo {
  return {
    name,
    kind: 'linear',
    role: 'mlp.up',
    block: 0,
    expert: undefined,
    step: 0,
    shape: [4, 4],
    layout: 'out-in',
    dtype: 'float32',
    bias: false,
    sharedWith: undefined,
    form: 'dense',
    ...extra,
  };
}

const layers = Array.from({ length: 12 }, (_, block) => [
  module(`model.layers.${String(block)}.self_attn.q_proj`, { block, role: 'attention.query' }),
  module(`model.layers.${String(block)}.mlp.down_proj`, { block, role: 'mlp.down' }),
]).flat();
const embedding = module('model.embed_tokens', { kind: 'embedding', role: 'embedding', block: undefined });
const head = module('lm_head', { kind: 'head', role: 'head', block: undefined });
const modules = [embedding, ...layers, head];

const select = (include?: string[], exclude?: string[]): string[] => selectTargets('stage 1 (x)', modules, { include, exclude }).map(({ name }) => name);
const matching = (pattern: string): string[] => {
  const compiled = compilePattern(pattern);
  return modules.filter((candidate) => compiled.matches(candidate)).map(({ name }) => name);
};

describe('patterns', () => {
  it('match whole names or their ends from a dot on', () => {
    expect(matching('q_proj')).toHaveLength(12);
    expect(matching('_proj')).toEqual([]);
    expect(matching('model.layers.0.self_attn.q_proj')).toHaveLength(1);
    expect(matching('lm_head')).toEqual(['lm_head']);
  });

  it('let a star cross dots, and keep numbers apart', () => {
    expect(matching('layers.1.*')).toEqual(['model.layers.1.self_attn.q_proj', 'model.layers.1.mlp.down_proj']);
    expect(matching('layers.1*.q_proj')).toEqual(['model.layers.1.self_attn.q_proj', 'model.layers.10.self_attn.q_proj', 'model.layers.11.self_attn.q_proj']);
    expect(matching('layers.?.mlp.*')).toHaveLength(10);
  });

  it('know lists, ranges and classes', () => {
    expect(matching('layers.{0,11}.mlp.*')).toHaveLength(2);
    expect(matching('layers.{8..11}.mlp.*')).toHaveLength(4);
    expect(matching('layers.[0-2].mlp.*')).toHaveLength(3);
  });

  it('between slashes are regular expressions', () => {
    expect(matching('/layers\\.(\\d*[02468])\\..*down/')).toHaveLength(6);
    expect(matching('/DOWN_PROJ$/i')).toHaveLength(12);
    expect(matching('/down/g')).toHaveLength(12);
  });

  it('may be kinds and roles', () => {
    expect(matching('linear')).toHaveLength(24);
    expect(matching('embedding')).toEqual(['model.embed_tokens']);
    expect(matching('attention.query')).toHaveLength(12);
  });
});

describe('selectTargets', () => {
  it('takes the linear layers inside blocks by default', () => {
    expect(selectTargets('stage', modules, undefined)).toEqual(layers);
  });

  it('includes, then excludes, in the model’s order', () => {
    expect(select(['mlp.down', 'head'], ['layers.{1..11}.*'])).toEqual(['model.layers.0.mlp.down_proj', 'lm_head']);
  });

  it('lets kinds and roles be absent, but not everything', () => {
    expect(select(['mlp.down'], ['router'])).toHaveLength(12);
    expect(select(['attention.qkv', 'attention.query'])).toHaveLength(12);
    expect(() => select(['router'])).toThrow('"router" matches no module');
    expect(() => select(['linear'], ['*_proj'])).toThrow('"linear" matches no module');
  });

  it('refuses patterns that match nothing, with the nearest name', () => {
    for (const [include, exclude, suggestion] of [
      [['q_prj'], undefined, 'q_proj'],
      [['linear'], ['lm_haed'], 'lm_head'],
      [['linaer'], undefined, 'linear'],
      [['mlp.dwn'], undefined, 'mlp.down'],
    ] as const) {
      expect(() => select([...include], exclude && [...exclude])).toThrowError(
        expect.objectContaining({ code: 'PARE_TARGET_UNMATCHED', help: expect.stringContaining(`Did you mean "${suggestion}"?`) as string }) as Error,
      );
    }
  });

  it('refuses a regular expression that does not compile', () => {
    expect(() => select(['/(/'])).toThrowError(expect.objectContaining({ code: 'PARE_RECIPE_INVALID' }) as Error);
  });

  it('lets a tied head stand for the embedding', () => {
    const tied = [embedding, ...layers, { ...head, sharedWith: 'model.embed_tokens' }];
    expect(selectTargets('stage', tied, { include: ['head'] }).map(({ name }) => name)).toEqual(['model.embed_tokens']);
    expect(selectTargets('stage', tied, { include: ['head', 'embedding'] })).toHaveLength(1);
  });
});

describe('compileOverrides', () => {
  it('refuses one that applies to no target', () => {
    const down = layers.filter(({ role }) => role === 'mlp.down');
    expect(compileOverrides('stage', down, [{ match: 'layers.0.*', options: { bits: 8 } }])).toHaveLength(1);
    expect(() => compileOverrides('stage', down, [{ match: 'q_proj', options: {} }])).toThrow('"q_proj" matches no module');
  });
});
