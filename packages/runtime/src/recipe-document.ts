import type { Recipe } from '@pare/core';
import { z } from 'zod';

/** The recipe format this host reads. */
export const recipeVersion = 1;

const options = z.record(z.string(), z.unknown());

const stage = z.strictObject({
  technique: z.string().min(1),
  options: options.optional(),
  targets: z.strictObject({ include: z.array(z.string().min(1)).min(1).optional(), exclude: z.array(z.string().min(1)).optional() }).optional(),
  overrides: z.array(z.strictObject({ match: z.string().min(1), options })).optional(),
});

const recipe = z.strictObject({
  // Editors read it; it says nothing about the recipe.
  $schema: z.string().optional(),
  version: z.literal(recipeVersion),
  name: z.string().min(1).optional(),
  description: z.string().optional(),
  plugins: z.strictObject({ lock: z.string().min(1) }).optional(),
  stages: z.array(stage).min(1),
});

/** A path into a document as people write it: `stages[0].options.bits`. */
export function formatPath(path: readonly PropertyKey[]): string {
  return path.map((key, index) => (typeof key === 'number' ? `[${String(key)}]` : `${index === 0 ? '' : '.'}${String(key)}`)).join('');
}

/** What a document says at a path, for an error message. */
export function valueAt(document: unknown, path: readonly PropertyKey[]): unknown {
  let value = document;
  for (const key of path) {
    if (typeof value !== 'object' || value === null) return undefined;
    value = (value as Record<PropertyKey, unknown>)[key];
  }
  return value;
}

/** Why a value is not a recipe document, each problem with its path; empty when it is one. Techniques and options are not looked up. */
export function recipeProblems(document: unknown): string[] {
  if (typeof document === 'object' && document !== null && 'version' in document && document.version !== recipeVersion) {
    return [`version is ${JSON.stringify(document.version)}; this host reads version ${String(recipeVersion)}`];
  }
  const result = recipe.safeParse(document);
  if (result.success) return [];
  return result.error.issues.map((issue) => {
    const path = formatPath(issue.path);
    return path === '' ? issue.message : `${path}: ${issue.message}`;
  });
}

/** The document as a recipe. Call after `recipeProblems` found none. */
export function asRecipe(document: unknown): Recipe {
  const { $schema: _schema, ...parsed } = recipe.parse(document);
  return parsed;
}
