import { pluginKind } from '@pare/core';
import { describe, expect, it } from 'vitest';
import presets, * as exported from './index.js';

describe('the standard presets', () => {
  it('are all exported by name as well as in the list', () => {
    const named = Object.entries(exported).flatMap(([name, value]) => (name === 'default' ? [] : [value]));
    expect(new Set(named)).toEqual(new Set(presets));
  });

  it('have distinct ids that their recipes carry as names', () => {
    expect(new Set(presets.map((preset) => preset.id)).size).toBe(presets.length);
    for (const preset of presets) {
      expect(pluginKind(preset)).toBe('preset');
      expect(preset.recipe.name).toBe(preset.id);
      expect(preset.recipe.description).toBe(preset.summary);
    }
  });

  it('name in the id what the recipe does: techniques with their bit widths, sparsity, pattern or ratio', () => {
    for (const { id, recipe } of presets) {
      // Trainings have no setting that names them.
      if (recipe.stages.some(({ options }) => options?.['steps'] !== undefined)) {
        expect(id.startsWith(`${recipe.stages.at(-1)!.technique}-`)).toBe(true);
        continue;
      }
      const described = recipe.stages.map(({ technique, options }) => {
        if (options?.['numbers'] === 'float8-e4m3') return `${technique}-fp${String(options['bits'])}`;
        const activations = options?.['activations'] === undefined ? '' : 'a8';
        if (technique === 'smoothquant') return options?.['quantize'] === false ? technique : `${technique}-w8${activations}`;
        if (options?.['bits'] !== undefined) return `${technique}-w${String(options['bits'])}${activations}${options['symmetric'] === false && technique === 'gptq' ? '-asymmetric' : ''}`;
        if (options?.['ratio'] !== undefined) return `${technique}-${String(Number(options['ratio']) * 100)}`;
        return options?.['pattern'] === undefined ? `${technique}-${String(Number(options?.['sparsity']) * 100)}` : `${technique}-${String(options['pattern']).replace(':', '-')}`;
      });
      expect(id).toBe(described.join('-'));
    }
  });

  it('never use act-order without static groups, so that no column index is stored', () => {
    for (const { recipe } of presets) {
      for (const stage of recipe.stages) if (stage.options?.['actOrder'] === true) expect(stage.options['staticGroups']).toBe(true);
    }
  });
});
