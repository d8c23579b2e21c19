import { nearest, pareError, type ModuleInfo, type OptionsOverride, type TargetSelection } from '@pare/core';
import { compilePattern, kindWords, nameEndings, roleWords, type ModulePattern } from './module-patterns.js';

/**
 * The modules a stage works on, in the model's order. Default: the linear layers inside blocks. A module that shares its weights with another stands
 * for the owner, so a tied head selects the embedding.
 * @param stage as errors name it: `stage 1 (gptq)`
 * @throws PARE_TARGET_UNMATCHED for a pattern that matches nothing, or when nothing is left; PARE_RECIPE_INVALID for a bad regular expression
 */
export function selectTargets(stage: string, modules: readonly ModuleInfo[], selection: TargetSelection | undefined): ModuleInfo[] {
  const names = new Set(modules.map(({ name }) => name));
  const chosen = new Set(matchedModules(stage, modules, selection).map(({ name, sharedWith }) => (sharedWith !== undefined && names.has(sharedWith) ? sharedWith : name)));
  return modules.filter((module) => chosen.has(module.name));
}

/**
 * The modules that a selection matches, under the names that it calls them by: a tied head is itself here.
 * @throws as `selectTargets`
 */
export function matchedModules(stage: string, modules: readonly ModuleInfo[], selection: TargetSelection | undefined): ModuleInfo[] {
  const include = (selection?.include ?? ['linear']).map((text) => compile(stage, text));
  const exclude = (selection?.exclude ?? []).map((text) => compile(stage, text));
  for (const pattern of [...include, ...exclude]) {
    if (!pattern.word && !modules.some((module) => pattern.matches(module))) throw unmatched(stage, pattern.text, modules);
  }
  const matched = modules.filter((module) => include.some((pattern) => pattern.matches(module)) && !exclude.some((pattern) => pattern.matches(module)));
  if (matched.length === 0) throw unmatched(stage, include.map((pattern) => pattern.text).join(', '), modules);
  return matched;
}

/** Overrides compiled against a stage's targets. */
export interface CompiledOverride {
  readonly pattern: ModulePattern;
  readonly options: Readonly<Record<string, unknown>>;
}

/** @throws PARE_TARGET_UNMATCHED for an override that applies to none of the stage's targets */
export function compileOverrides(stage: string, targets: readonly ModuleInfo[], overrides: readonly OptionsOverride[] | undefined): CompiledOverride[] {
  return (overrides ?? []).map((override) => {
    const pattern = compile(`${stage}, overrides`, override.match);
    if (!targets.some((target) => pattern.matches(target))) throw unmatched(`${stage}, overrides`, override.match, targets);
    return { pattern, options: override.options };
  });
}

function compile(stage: string, text: string): ModulePattern {
  try {
    return compilePattern(text);
  } catch (error) {
    throw pareError('PARE_RECIPE_INVALID', { recipe: stage, problems: [`"${text}": ${error instanceof Error ? error.message : String(error)}`] }, error);
  }
}

function unmatched(stage: string, pattern: string, modules: readonly ModuleInfo[]): Error {
  const candidates = new Set([...kindWords, ...roleWords, ...modules.flatMap((module) => nameEndings(module.name))]);
  return pareError('PARE_TARGET_UNMATCHED', { stage, pattern, nearest: nearest(pattern, [...candidates]) });
}
