import type { PluginIdentity } from './plugin.js';

/** Which modules a stage works on: kinds (`linear`, `embedding`, `head`), roles, module-name globs, or `/regular expressions/`. */
export interface TargetSelection {
  /** Default: every linear layer inside blocks. */
  readonly include?: readonly string[] | undefined;
  readonly exclude?: readonly string[] | undefined;
}

/** Other options for some of a stage's modules. */
export interface OptionsOverride {
  /** A glob or `/regular expression/` on module names. */
  readonly match: string;
  readonly options: Readonly<Record<string, unknown>>;
}

export interface RecipeStage {
  readonly technique: string;
  readonly options?: Readonly<Record<string, unknown>> | undefined;
  readonly targets?: TargetSelection | undefined;
  /** Later entries win. */
  readonly overrides?: readonly OptionsOverride[] | undefined;
}

/** A recipe document, version 1. Written into every artifact with plugin versions. */
export interface Recipe {
  readonly version: 1;
  readonly name?: string | undefined;
  readonly description?: string | undefined;
  /** What the plugins of a run must be, exactly: the file that `pare plugins lock` writes, by its path from the recipe on. */
  readonly plugins?: { readonly lock: string } | undefined;
  readonly stages: readonly RecipeStage[];
}

export interface PresetDefinition extends PluginIdentity {
  readonly recipe: Recipe;
}

export interface Preset extends PresetDefinition {
  readonly $$type: '@pare/preset';
}

/** Defines a named recipe. */
export function definePreset(definition: PresetDefinition): Preset {
  return { ...definition, $$type: '@pare/preset' };
}
