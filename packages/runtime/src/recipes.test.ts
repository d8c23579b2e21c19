import { definePreset, defineTechnique, type Preset, type Recipe, type Technique } from '@pare/core';
import { defaultFiles } from '@pare/platform';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { z } from 'zod';
import { canonicalJson, parseRecipe, recipeJsonSchema, resolveRecipe, type RecipeCatalogue } from './recipes.js';

function technique(id: string, shape: z.ZodRawShape): Technique {
  return defineTechnique<unknown>({
    id,
    api: 1,
    title: id.toUpperCase(),
    summary: `the technique ${id}`,
    family: 'quantization',
    scope: 'tensor',
    options: z.strictObject(shape) as never,
    accepts: ['dense'],
    produces: ['quantized'],
    plan: () => [],
    apply: () => Promise.resolve(),
  }) as Technique;
}

const gptq = technique('gptq', { bits: z.int().min(2).max(8).default(4), damping: z.number().default(0.01) });
const rtn = technique('rtn', { bits: z.int().default(8) });
const preset: Preset = definePreset({ id: 'gptq-w3', api: 1, title: 'W3', summary: 's', recipe: { version: 1, name: 'gptq-w3', stages: [{ technique: 'gptq', options: { bits: 3 } }] } });

let cwd = '';
let catalogue: RecipeCatalogue;

beforeAll(async () => {
  cwd = await mkdtemp(join(tmpdir(), 'pare-recipes-'));
  catalogue = { techniques: new Map([gptq, rtn].map((entry) => [entry.id, entry])), presets: new Map([[preset.id, preset]]), plugins: [], files: defaultFiles, cwd };
  await writeFile(join(cwd, 'recipe.yaml'), 'version: 1\nstages:\n  - technique: rtn\n    options: { bits: 6 }\n    targets: { exclude: ["head"] }\n');
  await writeFile(join(cwd, 'recipe.json'), JSON.stringify({ $schema: './schema.json', version: 1, stages: [{ technique: 'gptq' }] }));
});

afterAll(async () => {
  await rm(cwd, { recursive: true });
});

const resolve = (recipe: unknown, set: string[] = []): Promise<Recipe> => resolveRecipe(recipe as Recipe, set, catalogue);
const failure = async (recipe: unknown, set: string[] = []): Promise<{ code: string; message: string; help: string }> =>
  resolve(recipe, set).then(
    () => {
      throw new Error('was accepted');
    },
    (error: unknown) => error as { code: string; message: string; help: string },
  );

describe('resolveRecipe', () => {
  it('reads presets, YAML and JSON files, and documents, and writes every option out', async () => {
    expect(await resolve('gptq-w3')).toEqual({ version: 1, name: 'gptq-w3', stages: [{ technique: 'gptq', options: { bits: 3, damping: 0.01 } }] });
    expect(await resolve('recipe.yaml')).toEqual({ version: 1, stages: [{ technique: 'rtn', options: { bits: 6 }, targets: { exclude: ['head'] } }] });
    expect(await resolve('./recipe.json')).toEqual({ version: 1, stages: [{ technique: 'gptq', options: { bits: 4, damping: 0.01 } }] });
    expect(await resolve({ version: 1, stages: [{ technique: 'rtn' }] })).toEqual({ version: 1, stages: [{ technique: 'rtn', options: { bits: 8 } }] });
  });

  it('applies settings to all stages of a technique, or to one', async () => {
    const recipe = { version: 1, stages: [{ technique: 'gptq' }, { technique: 'rtn' }, { technique: 'gptq' }] };
    const bits = async (...set: string[]): Promise<unknown[]> => (await resolve(recipe, set)).stages.map((stage) => stage.options?.['bits']);
    expect(await bits('gptq.bits=3')).toEqual([3, 8, 3]);
    expect(await bits('gptq[1].bits=2', 'rtn.bits=7')).toEqual([4, 7, 2]);
    expect(await bits('gptq.bits=3', 'gptq[0].bits=5')).toEqual([5, 8, 3]);
  });

  it('survives a round trip through JSON', async () => {
    const recipe = await resolve('recipe.yaml');
    expect(await resolve(JSON.parse(JSON.stringify(recipe)))).toEqual(recipe);
  });

  it.each([
    [{ version: 2, stages: [] }, 'version is 2; this host reads version 1'],
    [{ stages: [{ technique: 'rtn' }] }, 'version'],
    [{ version: 1, stages: [] }, 'stages: Too small'],
    [{ version: 1, stages: [{ technique: 'rtn', option: {} }] }, 'stages[0]: Unrecognized key: "option"'],
    [{ version: 1, stages: [{ technique: 'rtn', overrides: [{ match: 5, options: {} }] }] }, 'stages[0].overrides[0].match'],
    [{ version: 1, stages: [{ technique: 'rtn', targets: { include: [] } }] }, 'stages[0].targets.include'],
    [null, 'expected object'],
  ])('refuses a document that is no recipe, with the path: %j', async (document, problem) => {
    const error = await failure(document);
    expect(error.code).toBe('PARE_RECIPE_INVALID');
    expect(error.message).toContain(problem);
  });

  it('suggests the nearest preset, technique, and option', async () => {
    expect(await failure('gptq-w33')).toMatchObject({ code: 'PARE_PLUGIN_UNKNOWN', message: 'no preset is called "gptq-w33"', help: expect.stringContaining('"gptq-w3"') as string });
    expect(await failure({ version: 1, stages: [{ technique: 'gtpq' }] })).toMatchObject({ code: 'PARE_PLUGIN_UNKNOWN', help: expect.stringContaining('"gptq"') as string });
    expect(await failure({ version: 1, stages: [{ technique: 'gptq', options: { bit: 4 } }] })).toMatchObject({
      code: 'PARE_OPTIONS_INVALID',
      message: 'options of stage 1 (gptq): unknown option "bit", did you mean "bits"?',
    });
    expect(await failure('gptq-w3', ['gtpq.bits=3'])).toMatchObject({ code: 'PARE_RECIPE_SET_INVALID', help: expect.stringContaining('"gptq"') as string });
    expect(await failure('gptq-w3', ['gptq[1].bits=3'])).toMatchObject({ code: 'PARE_RECIPE_SET_INVALID', message: expect.stringContaining('1 stage(s)') as string });
  });

  it('checks overrides on top of the stage’s options', async () => {
    const error = await failure({ version: 1, stages: [{ technique: 'gptq', overrides: [{ match: '*', options: { bits: 40 } }] }] });
    expect(error).toMatchObject({ code: 'PARE_OPTIONS_INVALID', message: expect.stringContaining('stage 1 (gptq), overrides[0]: bits') as string });
  });

  it('tells missing files from misspelt presets', async () => {
    expect((await failure('missing.yaml')).code).toBe('PARE_FILE_UNREADABLE');
    expect((await failure('folder/missing')).code).toBe('PARE_FILE_UNREADABLE');
  });
});

describe('parseRecipe', () => {
  it('says where a text is broken', async () => {
    await expect(parseRecipe('version: 1\nstages: [', 'a.yaml')).rejects.toThrow(/a\.yaml.*line 2/s);
    await expect(parseRecipe('{', 'a.json')).rejects.toMatchObject({ code: 'PARE_RECIPE_INVALID' });
  });
});

describe('canonicalJson', () => {
  it('does not depend on the order of keys', () => {
    expect(canonicalJson({ b: [{ d: 1, c: 2 }], a: null })).toBe(canonicalJson({ a: null, b: [{ c: 2, d: 1 }] }));
    expect(canonicalJson([1, 2])).not.toBe(canonicalJson([2, 1]));
  });
});

describe('recipeJsonSchema', () => {
  it('offers each technique with its options, complete or partial', () => {
    const schema = recipeJsonSchema([gptq, rtn]) as { $defs: Record<string, { properties: object }>; properties: { stages: { items: { anyOf: { properties: Record<string, { const?: string }> }[] } } } };
    expect(schema.properties.stages.items.anyOf.map((stage) => stage.properties['technique']?.const)).toEqual(['gptq', 'rtn']);
    expect(Object.keys(schema.$defs['gptq-options']!.properties)).toEqual(['bits', 'damping']);
  });

  it('keeps references inside an options schema working', () => {
    const node: z.ZodType = z.strictObject({ get next() { return node.optional(); } }).meta({ id: 'Node' });
    const text = JSON.stringify(recipeJsonSchema([technique('tree', { root: node.optional() })]));
    const references = [...text.matchAll(/"\$ref":"#\/\$defs\/([^"]+)"/g)].map((match) => match[1]!);
    const { $defs } = JSON.parse(text) as { $defs: Record<string, unknown> };
    expect(references).toContain('tree.Node');
    expect(references.filter((reference) => !(reference in $defs))).toEqual([]);
  });
});

describe('a recipe that pins a plugin lock', () => {
  it('is refused unless the plugins are those of the lock, which lies beside the recipe', async () => {
    await mkdir(join(cwd, 'pinned'));
    await writeFile(join(cwd, 'pinned/recipe.yaml'), 'version: 1\nplugins: { lock: plugins.lock.json }\nstages:\n  - technique: rtn\n');
    await expect(resolve('pinned/recipe.yaml')).rejects.toMatchObject({ code: 'PARE_FILE_UNREADABLE', data: { file: join(cwd, 'pinned/plugins.lock.json') } });
    await writeFile(join(cwd, 'pinned/plugins.lock.json'), '{ "lockfileVersion": 1, "packages": {} }');
    expect(await resolve('pinned/recipe.yaml')).toMatchObject({ plugins: { lock: 'plugins.lock.json' }, stages: [{ technique: 'rtn' }] });
    const loaded = { ...rtn, kind: 'technique', plugin: rtn, package: undefined, version: undefined, folder: undefined, bundled: false, source: 'plugins[0]' } as const;
    const document = { version: 1, plugins: { lock: 'pinned/plugins.lock.json' }, stages: [{ technique: 'rtn' }] };
    await expect(resolveRecipe(document as Recipe, [], { ...catalogue, plugins: [loaded] })).rejects.toMatchObject({ code: 'PARE_PLUGIN_LOCK_BROKEN', message: expect.stringContaining('technique "rtn"') as string });
  });

  it('is refused with anything else in its place', async () => {
    expect(await failure({ version: 1, plugins: { lock: '' }, stages: [{ technique: 'rtn' }] })).toMatchObject({ code: 'PARE_RECIPE_INVALID', message: expect.stringContaining('plugins.lock') as string });
    expect(await failure({ version: 1, plugins: ['pare-x'], stages: [{ technique: 'rtn' }] })).toMatchObject({ code: 'PARE_RECIPE_INVALID', message: expect.stringContaining('plugins') as string });
  });
});
