import type { JsonSchema, Recipe } from '@pare/core';
import { describeOptions } from './describe.js';

/** A scalar or list as YAML; JSON is valid YAML. Plain words stay bare. */
export function yamlValue(value: unknown): string {
  if (typeof value === 'string' && /^[a-z][\w./-]*$/i.test(value) && !/^(true|false|yes|no|on|off|null|y|n)$/i.test(value)) return value;
  if (Array.isArray(value)) return `[${value.map((entry) => (typeof entry === 'string' ? JSON.stringify(entry) : yamlValue(entry))).join(', ')}]`;
  if (typeof value === 'object' && value !== null) {
    return `{ ${Object.entries(value)
      .map(([key, entry]) => `${key}: ${yamlValue(entry)}`)
      .join(', ')} }`;
  }
  return JSON.stringify(value);
}

/**
 * A recipe as a YAML document with each option's description beside it.
 * @param schemaOf the options schema of a technique
 */
export function recipeYaml(recipe: Recipe, schemaOf: (technique: string) => JsonSchema | undefined): string {
  const lines = ['version: 1'];
  if (recipe.name !== undefined) lines.push(`name: ${yamlValue(recipe.name)}`);
  if (recipe.description !== undefined) lines.push(`description: ${JSON.stringify(recipe.description)}`);
  lines.push('stages:');
  for (const stage of recipe.stages) {
    lines.push(`  - technique: ${stage.technique}`);
    const options = Object.entries(stage.options ?? {});
    if (options.length > 0) {
      const descriptions = new Map(describeOptions(schemaOf(stage.technique) ?? {}).map((option) => [option.name, option.description]));
      const entries = options.map(([name, value]) => ({ text: `      ${name}: ${yamlValue(value)}`, comment: descriptions.get(name) ?? '' }));
      const width = Math.max(...entries.map(({ text }) => text.length));
      lines.push('    options:', ...entries.map(({ text, comment }) => (comment === '' ? text : `${text.padEnd(width)}  # ${comment}`)));
    }
    const { include, exclude } = stage.targets ?? {};
    if (include !== undefined || exclude !== undefined) lines.push(`    targets: ${yamlValue({ ...(include && { include }), ...(exclude && { exclude }) })}`);
    if (stage.overrides !== undefined && stage.overrides.length > 0) {
      lines.push('    overrides:', ...stage.overrides.map(({ match, options: changed }) => `      - { match: ${JSON.stringify(match)}, options: ${yamlValue(changed)} }`));
    }
  }
  return `${lines.join('\n')}\n`;
}
