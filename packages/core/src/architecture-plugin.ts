import type { DecoderDescription, ModelConfig } from './architecture.js';
import type { PluginIdentity } from './plugin.js';

export interface ArchitectureDefinition extends PluginIdentity {
  /** Values of `model_type` in config.json that this describes. */
  readonly modelTypes: readonly string[];
  /** Start of tensor names that checkpoints saved without a head leave out (`transformer.`, so that `wte.weight` means `transformer.wte.weight`). */
  readonly basePrefix?: string | undefined;
  /**
   * The model as data, from its configuration alone (keys in old or new spelling).
   * @throws PARE_CONFIG_INVALID naming the key that is missing or impossible.
   */
  describe(config: ModelConfig): DecoderDescription;
}

export interface Architecture extends ArchitectureDefinition {
  readonly $$type: '@pare/architecture';
}

/** Defines an architecture. */
export function defineArchitecture(definition: ArchitectureDefinition): Architecture {
  return { ...definition, $$type: '@pare/architecture' };
}
