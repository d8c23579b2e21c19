import { nearest, pareError, type ModuleInfo, type OptionsOverride, type TargetSelection } from '@pare/core';
import { compilePattern, kindWords, nameEndings, roleWords, type ModulePattern } from './module-patterns.js';

/**
 * The modules a stage works on, in the model's order. Default: the linear layers inside blocks. A module that shares its weights with another stands
 * for the owner, so a tied head selects the embedding.
 * @param stage as errors name it: `stage 1 (gptq)`
 * @throws PARE_TARGET_UNMATCHED for a pattern that matches nothing, or when nothing is left; PARE_RECIPE_INVALID for a bad regular expression
 */
export function selectTargets(stage: string, modules: readonly ModuleInfo[], selection: TargetSelection | undefined): ModuleInfo[] {
  const include = (selection?.include ?? ['linear']).map((text) => compile(stage, text));
  const exclude = (selection?.exclude ?? []).map((text) => compile(stage, text));
  for (const pattern of [...include, ...exclude]) {
    if (!pattern.word && !modules.some((module) => pattern.matches(module))) throw unmatched(stage, pattern.text, modules);
  }
  const byName = new Map(modules.map((module) => [module.name, module]));
  const chosen = new Set<string>();
  for (const module of modules) {
    if (!include.some((pattern) => pattern.matches(module)) || exclude.some((pattern) => pattern.matches(module))) continue;
    chosen.add(module.sharedWith !== undefined && byName.has(module.sharedWith) ? module.sharedWith : module.name);
  }
  if (chosen.size === 0) throw unmatched(stage, include.map((pattern) => pattern.text).join(', '), modules);
  return modules.filter((module) => chosen.has(module.name));
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
