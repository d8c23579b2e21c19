import { pluginKind } from '@pare/core';
import { describe, expect, it } from 'vitest';
import presets, * as exported from './index.js';

describe('the standard presets', () => {
  it('are all exported by name as well as in the list', () => {
    const named = Object.entries(exported).flatMap(([name, value]) => (name === 'default' ? [] : [value]));
    expect(new Set(named)).toEqual(new Set(presets));
  });

  it('have distinct ids that their recipes carry as names', () => {
    expect(presets.map((preset) => preset.id)).toEqual(['gptq-w3', 'gptq-w4', 'gptq-w4-asymmetric', 'gptq-w8', 'rtn-w3', 'rtn-w4', 'rtn-w8']);
    for (const preset of presets) {
      expect(pluginKind(preset)).toBe('preset');
      expect(preset.recipe.name).toBe(preset.id);
      expect(preset.recipe.description).toBe(preset.summary);
    }
  });

  it('name a technique and a bit width in the id that the recipe uses', () => {
    for (const preset of presets) {
      const [, technique, bits] = /^([a-z]+)-w(\d)/.exec(preset.id)!;
      const stage = preset.recipe.stages[0]!;
      expect(preset.recipe.stages).toHaveLength(1);
      expect(stage.technique).toBe(technique);
      expect(stage.options?.['bits']).toBe(Number(bits));
    }
  });

  it('never use act-order without static groups, so that no column index is stored', () => {
    for (const { recipe } of presets) {
      for (const stage of recipe.stages) if (stage.options?.['actOrder'] === true) expect(stage.options['staticGroups']).toBe(true);
    }
  });
});
