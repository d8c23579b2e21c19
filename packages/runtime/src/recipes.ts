import { nearest, optionsJsonSchema, pareError, systemErrorCode, type FileSystem, type JsonSchema, type Preset, type Recipe, type RecipeStage, type Technique } from '@pare/core';
import { requireLock } from '@pare/plugin-lock';
import type { LoadedPlugin } from './host-types.js';
import { applySetting, parseOptions, parseSetting } from './options.js';
import { asRecipe, recipeProblems, recipeVersion } from './recipe-document.js';

/** What recipes are resolved against. */
export interface RecipeCatalogue {
  readonly techniques: ReadonlyMap<string, Technique>;
  readonly presets: ReadonlyMap<string, Preset>;
  /** Everything that is loaded, for recipes that pin a plugin lock. */
  readonly plugins: readonly LoadedPlugin[];
  readonly files: FileSystem;
  /** Folder that relative paths start from. */
  readonly cwd: string;
}

/** A stage as errors name it, counted from one. */
export function stageLabel(index: number, technique: string): string {
  return `stage ${String(index + 1)} (${technique})`;
}

/**
 * Parses a recipe text.
 * @param name as errors name it, a file path; `.json` is read as JSON, everything else as YAML
 * @throws PARE_RECIPE_INVALID with line and column, or with the paths of what is wrong
 */
export async function parseRecipe(text: string, name: string): Promise<Recipe> {
  let document: unknown;
  try {
    if (name.endsWith('.json')) document = JSON.parse(text);
    else {
      const { parse } = await import('yaml');
      document = parse(text);
    }
  } catch (error) {
    throw pareError('PARE_RECIPE_INVALID', { recipe: name, problems: [error instanceof Error ? error.message.trim() : String(error)] }, error);
  }
  return checkDocument(document, name);
}

function checkDocument(document: unknown, name: string): Recipe {
  const problems = recipeProblems(document);
  if (problems.length > 0) throw pareError('PARE_RECIPE_INVALID', { recipe: name, problems });
  return asRecipe(document);
}

/** The recipe that a preset id, a file path or a document means, as it is written, and the folder that its paths start from. */
async function readRecipe(recipe: string | Recipe, catalogue: RecipeCatalogue): Promise<{ recipe: Recipe; folder: string }> {
  if (typeof recipe !== 'string') {
    const name = typeof (recipe as Partial<Recipe> | null)?.name === 'string' ? `"${recipe.name!}"` : 'document';
    return { recipe: checkDocument(recipe, name), folder: catalogue.cwd };
  }
  const preset = catalogue.presets.get(recipe);
  if (preset !== undefined) return { recipe: checkDocument(preset.recipe, `preset "${recipe}"`), folder: catalogue.cwd };
  const { files } = catalogue;
  const file = files.path.resolve(catalogue.cwd, recipe);
  const isFile = (await files.status(file).catch(() => undefined))?.kind === 'file';
  if (!isFile && !/[\\/]|\.(ya?ml|json)$/.test(recipe)) {
    const known = [...catalogue.presets.keys()];
    throw pareError('PARE_PLUGIN_UNKNOWN', { kind: 'preset', id: recipe, known, nearest: nearest(recipe, known) });
  }
  let text: string;
  try {
    text = await files.readText(file);
  } catch (error) {
    throw pareError('PARE_FILE_UNREADABLE', { file: recipe, reason: systemErrorCode(error) === 'ENOENT' ? 'no such file' : (error as Error).message }, error);
  }
  return { recipe: await parseRecipe(text, recipe), folder: files.path.dirname(file) };
}

/** The technique of a stage. @throws PARE_PLUGIN_UNKNOWN */
export function techniqueOf(stage: RecipeStage, techniques: ReadonlyMap<string, Technique>): Technique {
  const technique = techniques.get(stage.technique);
  if (technique !== undefined) return technique;
  const known = [...techniques.keys()];
  throw pareError('PARE_PLUGIN_UNKNOWN', { kind: 'technique', id: stage.technique, known, nearest: nearest(stage.technique, known) });
}

/**
 * Reads a recipe, applies settings and checks techniques and options. In the result every option of a stage is written out, defaults included;
 * overrides hold what they change.
 * @throws PARE_RECIPE_INVALID, PARE_PLUGIN_UNKNOWN, PARE_RECIPE_SET_INVALID, PARE_OPTIONS_INVALID, PARE_FILE_UNREADABLE, PARE_PLUGIN_LOCK_BROKEN
 */
export async function resolveRecipe(source: string | Recipe, settings: readonly string[], catalogue: RecipeCatalogue): Promise<Recipe> {
  const { recipe, folder } = await readRecipe(source, catalogue);
  if (recipe.plugins !== undefined) {
    await requireLock(catalogue.files, catalogue.files.path.resolve(folder, recipe.plugins.lock), catalogue.plugins);
  }
  const techniques = recipe.stages.map((stage) => techniqueOf(stage, catalogue.techniques));
  const options: Readonly<Record<string, unknown>>[] = recipe.stages.map((stage) => stage.options ?? {});
  for (const text of settings) {
    const setting = parseSetting(text);
    const stages = recipe.stages.flatMap((stage, index) => (stage.technique === setting.owner ? [index] : []));
    if (stages.length === 0) {
      const used = [...new Set(recipe.stages.map((stage) => stage.technique))];
      throw pareError('PARE_RECIPE_SET_INVALID', {
        setting: text,
        problem: `the recipe has no stage "${setting.owner}"`,
        nearest: nearest(setting.owner, used),
        allowed: `Its techniques: ${used.join(', ')}.`,
      });
    }
    if (setting.index !== undefined && setting.index >= stages.length) {
      throw pareError('PARE_RECIPE_SET_INVALID', {
        setting: text,
        problem: `the recipe has ${String(stages.length)} stage(s) of "${setting.owner}"`,
        allowed: `Allowed: ${setting.owner}[0] to ${setting.owner}[${String(stages.length - 1)}].`,
      });
    }
    for (const index of setting.index === undefined ? stages : [stages[setting.index]!]) {
      options[index] = applySetting(setting, techniques[index]!.options, options[index]!);
    }
  }
  const stages: RecipeStage[] = [];
  for (const [index, stage] of recipe.stages.entries()) {
    const label = stageLabel(index, stage.technique);
    const schema = techniques[index]!.options;
    const parsed = await parseOptions(label, schema, options[index]!);
    for (const [position, override] of (stage.overrides ?? []).entries()) {
      await parseOptions(`${label}, overrides[${String(position)}]`, schema, { ...parsed, ...override.options });
    }
    stages.push({ ...stage, options: parsed });
  }
  // A description of the preset no longer fits what the settings made of it.
  const { description, ...rest } = recipe;
  return { ...rest, ...(description === undefined || settings.length > 0 ? {} : { description }), stages };
}

/** The same value with object keys in alphabetical order, so that equal recipes have equal texts. */
export function canonicalJson(value: unknown): string {
  return JSON.stringify(value, (_key, inner: unknown) =>
    typeof inner === 'object' && inner !== null && !Array.isArray(inner)
      ? Object.fromEntries(Object.entries(inner).sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0)))
      : inner,
  );
}

/** JSON Schema (draft 2020-12) of recipe documents for these techniques; editors complete and check recipes with it. */
export function recipeJsonSchema(techniques: Iterable<Technique>): JsonSchema {
  const definitions: Record<string, unknown> = {};
  const stages = [...techniques].map((technique) => {
    const { $schema: _draft, $defs: inner, ...options } = optionsJsonSchema(technique.options) as Record<string, unknown>;
    // References inside an options schema point at its own root; here that root is one level down, so its definitions move up under a name of their own.
    const prefix = `${technique.id}.`;
    for (const [name, definition] of Object.entries((inner ?? {}) as Record<string, unknown>)) definitions[prefix + name] = renameReferences(definition, prefix);
    const schema = renameReferences(options, prefix) as Record<string, unknown>;
    const { required: _required, ...partial } = schema;
    definitions[`${technique.id}-options`] = schema;
    return {
      type: 'object',
      title: technique.title,
      description: technique.summary,
      properties: {
        technique: { const: technique.id },
        options: { $ref: `#/$defs/${technique.id}-options` },
        targets: { $ref: '#/$defs/targets' },
        overrides: {
          type: 'array',
          description: 'Other options for some of the modules; later entries win.',
          items: {
            type: 'object',
            properties: { match: { type: 'string', description: 'A glob or /regular expression/ on module names.' }, options: partial },
            required: ['match', 'options'],
            additionalProperties: false,
          },
        },
      },
      required: ['technique'],
      additionalProperties: false,
    };
  });
  const patterns = { type: 'array', items: { type: 'string', minLength: 1 }, description: 'Kinds, roles, module-name globs or /regular expressions/.' };
  return {
    $schema: 'https://json-schema.org/draft/2020-12/schema',
    title: 'Pare recipe',
    type: 'object',
    properties: {
      $schema: { type: 'string' },
      version: { const: recipeVersion },
      name: { type: 'string', minLength: 1 },
      description: { type: 'string' },
      plugins: {
        type: 'object',
        properties: { lock: { type: 'string', minLength: 1, description: 'Plugin lock that loaded plugins must match; a path from the recipe on.' } },
        required: ['lock'],
        additionalProperties: false,
      },
      stages: { type: 'array', minItems: 1, items: { anyOf: stages } },
    },
    required: ['version', 'stages'],
    additionalProperties: false,
    $defs: { ...definitions, targets: { type: 'object', properties: { include: { ...patterns, minItems: 1 }, exclude: patterns }, additionalProperties: false } },
  };
}

function renameReferences(value: unknown, prefix: string): unknown {
  if (Array.isArray(value)) return value.map((item) => renameReferences(item, prefix));
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(
    Object.entries(value).map(([key, inner]) =>
      key === '$ref' && typeof inner === 'string' && inner.startsWith('#/$defs/') ? [key, `#/$defs/${prefix}${inner.slice('#/$defs/'.length)}`] : [key, renameReferences(inner, prefix)],
    ),
  );
}

