import { apiVersion, pluginKind, pluginTags, type Plugin, type PluginKind } from '@pare/core';
import { describeValue, type PluginProblem } from './plugin-problem.js';
import { recipeProblems } from './recipe-document.js';

const kebabCase = /^[a-z][a-z0-9]*(-[a-z0-9]+)*$/;
const families = ['quantization', 'pruning', 'factorization', 'sharing', 'distillation', 'activation'];
const scopes = ['tensor', 'block', 'training', 'model'];

/** Functions without which a plugin of a kind cannot work, optional ones, and whether it has options. */
const shapes: Readonly<Record<PluginKind, { readonly required: readonly string[]; readonly optional: readonly string[]; readonly options: boolean }>> = {
  technique: { required: ['plan', 'apply'], optional: ['statistics', 'sequential', 'check'], options: true },
  evaluator: { required: ['evaluate'], optional: [], options: true },
  backend: { required: ['score', 'create'], optional: ['fallbacks'], options: true },
  format: { required: ['refuse', 'write', 'verify'], optional: [], options: true },
  architecture: { required: ['describe'], optional: [], options: false },
  preset: { required: [], optional: [], options: false },
};

const isRecord = (value: unknown): value is Record<string, unknown> => typeof value === 'object' && value !== null && !Array.isArray(value);
const isTextList = (value: unknown): boolean => Array.isArray(value) && value.length > 0 && value.every((item) => typeof item === 'string' && item !== '');

/**
 * Everything that is wrong with a value that should be a plugin, without calling it.
 * @param path where it stands, `plugins[2]`
 */
export function pluginProblems(value: unknown, path: string): PluginProblem[] {
  const kind = pluginKind(value);
  if (kind === undefined) return [untagged(value, path)];
  const plugin = value as Record<string, unknown>;
  const problems: PluginProblem[] = [];
  const report = (property: string, allowed: string, fix: string): void => {
    problems.push({ path: `${path}.${property}`, found: describeValue(plugin[property]), allowed, fix });
  };

  const name = typeof plugin['id'] === 'string' ? `${kind} "${plugin['id']}"` : `this ${kind}`;
  if (plugin['api'] !== apiVersion) {
    const made = typeof plugin['api'] === 'number' ? `is made for plugin API ${String(plugin['api'])}` : 'does not say which plugin API it is made for';
    report('api', `${String(apiVersion)}, the plugin API of this host`, `${name} ${made}; install the version of it that is made for API ${String(apiVersion)}.`);
  }
  if (typeof plugin['id'] !== 'string' || !kebabCase.test(plugin['id'])) {
    report('id', 'a name in kebab case such as "magnitude" or "svd-llm"', 'Give the plugin an id of lower-case letters, digits and single hyphens.');
  }
  for (const property of ['title', 'summary']) {
    if (typeof plugin[property] !== 'string' || plugin[property] === '') report(property, 'a text', `Give ${name} a ${property}.`);
  }
  const shape = shapes[kind];
  for (const method of shape.required) {
    if (typeof plugin[method] !== 'function') report(method, 'a function', `Add ${method}(…) to ${name}.`);
  }
  for (const method of shape.optional) {
    if (plugin[method] !== undefined && typeof plugin[method] !== 'function') report(method, 'a function, or nothing', `Make ${method} of ${name} a function.`);
  }
  if (shape.options) problems.push(...optionsProblems(plugin['options'], `${path}.options`, name));
  if (kind === 'technique') {
    if (!families.includes(plugin['family'] as string)) report('family', families.join(', '), `Give ${name} the family it belongs to.`);
    if (!scopes.includes(plugin['scope'] as string)) report('scope', scopes.join(', '), `Give ${name} the scope it works on.`);
    if (plugin['scope'] === 'model' && typeof plugin['restructure'] !== 'function') report('restructure', 'a function', `Add restructure(…) to ${name}: a technique of scope model says what it takes out.`);
    for (const property of ['accepts', 'produces']) {
      if (!isTextList(plugin[property])) report(property, 'a list of weight forms such as ["dense"]', `List the weight forms that ${name} ${property}.`);
    }
  }
  if (kind === 'evaluator') {
    if (!['text', 'items', 'none'].includes(plugin['data'] as string)) report('data', '"text", "items" or "none"', `Say what ${name} reads.`);
    if (![undefined, 'required', 'optional'].includes(plugin['original'] as undefined)) report('original', '"required", "optional" or nothing', `Say whether ${name} needs the original.`);
    const metrics = plugin['metrics'];
    if (!Array.isArray(metrics) || metrics.length === 0 || !metrics.every((metric) => isRecord(metric) && typeof metric['name'] === 'string')) {
      report('metrics', 'a list of metrics with name, unit, direction and summary', `Declare the metrics of ${name}.`);
    }
  }
  if (kind === 'format' && !isTextList(plugin['accepts'])) {
    report('accepts', 'a list of weight forms such as ["dense"]', `List the weight forms that ${name} can write.`);
  }
  if (kind === 'architecture' && !isTextList(plugin['modelTypes'])) {
    report('modelTypes', 'a list of model types such as ["llama"]', `List the model types that ${name} describes.`);
  }
  if (kind === 'preset') {
    for (const problem of recipeProblems(plugin['recipe'])) {
      problems.push({ path: `${path}.recipe`, found: problem, allowed: 'a recipe document, version 1', fix: `Correct the recipe of ${name}.` });
    }
  }
  return problems;
}

function untagged(value: unknown, path: string): PluginProblem {
  const tags = Object.values(pluginTags).join(', ');
  const tag = isRecord(value) ? value['$$type'] : undefined;
  if (typeof value === 'function') {
    return {
      path,
      found: describeValue(value),
      allowed: 'a plugin object, a package name, or a list of them',
      fix: 'Call the function if it makes a plugin, or import the plugin itself; classes are not plugins.',
    };
  }
  return {
    path: tag === undefined ? path : `${path}.$$type`,
    found: tag === undefined ? describeValue(value) : describeValue(tag),
    allowed: tag === undefined ? 'a plugin object, a package name, or a list of them' : tags,
    fix: 'Make plugins with defineTechnique, defineEvaluator, defineBackend, defineFormat, defineArchitecture or definePreset.',
  };
}

/** Options must validate (Standard Schema) and print themselves (Standard JSON Schema); a schema that cannot print fails here, not in a help text later. */
function optionsProblems(options: unknown, path: string, name: string): PluginProblem[] {
  const allowed = 'a schema that is both a Standard Schema and a Standard JSON Schema, such as z.strictObject of zod 4, or noOptions';
  const fix = `Give ${name} such a schema.`;
  const standard = (typeof options === 'object' || typeof options === 'function') && options !== null ? (options as Record<string, unknown>)['~standard'] : undefined;
  if (!isRecord(standard) || typeof standard['validate'] !== 'function') return [{ path, found: describeValue(options), allowed, fix }];
  const converter = standard['jsonSchema'];
  if (!isRecord(converter) || typeof converter['input'] !== 'function') {
    return [{ path, found: `a schema of ${describeValue(standard['vendor'])} that cannot print itself as JSON Schema`, allowed, fix }];
  }
  try {
    const printed = (converter['input'] as (target: { target: string }) => unknown)({ target: 'draft-2020-12' });
    if (!isRecord(printed) || printed['type'] !== 'object') return [{ path, found: `a schema of ${describeValue(isRecord(printed) ? printed['type'] : printed)}`, allowed: 'a schema of an object', fix }];
  } catch (error) {
    return [{ path, found: `a schema that throws when printed as JSON Schema: ${error instanceof Error ? error.message : String(error)}`, allowed, fix: `Keep the options of ${name} free of transforms.` }];
  }
  return [];
}

/** Problems between plugins: two with one id, or two architectures for one model type. Both places are named. */
export function conflictProblems(plugins: readonly { readonly plugin: Plugin; readonly source: string }[]): PluginProblem[] {
  const problems: PluginProblem[] = [];
  const owners = new Map<string, string>();
  const claim = (key: string, label: string, source: string): void => {
    const owner = owners.get(key);
    if (owner === undefined) owners.set(key, source);
    else problems.push({ path: source, found: `${label}, which ${owner} has already`, allowed: `one plugin for ${label}`, fix: `Remove ${source} or ${owner}, or rename one.` });
  };
  for (const { plugin, source } of plugins) {
    const kind = pluginKind(plugin)!;
    claim(`${kind}:${plugin.id}`, `${kind} id "${plugin.id}"`, source);
    if (plugin.$$type === '@pare/architecture') {
      for (const modelType of plugin.modelTypes) claim(`model-type:${modelType}`, `model type "${modelType}"`, source);
    }
  }
  return problems;
}
