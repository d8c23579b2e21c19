import type { InputScheme, ModuleInfo } from '@pare/core';
import { z } from 'zod';
import { dynamicTokenInput, staticTensorScheme } from './input-quantization.js';

/** How techniques that calibrate can have inputs rounded. */
export type Activations = 'none' | 'dynamic-token' | 'static-tensor';

/** The option `activations` of techniques that calibrate. */
export function activationsOption(usual: Activations): z.ZodDefault<z.ZodEnum<{ [A in Activations]: A }>> {
  return z
    .enum(['none', 'dynamic-token', 'static-tensor'])
    .default(usual)
    .describe(
      "Rounding of the layers' inputs to 8 bits: none; dynamic-token, each token by its own largest value, found while the model runs; static-tensor, all by the largest value of the calibration data.",
    );
}

/** The same for techniques without calibration data, which cannot know a static scale. */
export const dataFreeActivationsOption = z
  .enum(['none', 'dynamic-token'])
  .default('none')
  .describe("Rounding of the layers' inputs to 8 bits: none; dynamic-token, each token by its own largest value, found while the model runs.");

/** The scheme that an option means. */
export function inputSchemeFor(activations: Activations): InputScheme | undefined {
  if (activations === 'none') return undefined;
  return activations === 'dynamic-token' ? dynamicTokenInput : staticTensorScheme;
}

/** Why the inputs of a module cannot be rounded, or undefined when they can: an embedding has none that are multiplied, and factors none that are stored. */
export function inputTargetProblem(activations: Activations, { kind, form }: Pick<ModuleInfo, 'kind' | 'form'>): string | undefined {
  if (activations === 'none') return undefined;
  const help = 'set activations: none for it, or leave it out';
  if (kind === 'embedding') return `activations is ${activations}, and an embedding is looked up in: it has no inputs to round; ${help}`;
  return form === 'factorized' ? `activations is ${activations}, and layers of two matrices do not round their inputs; ${help}` : undefined;
}
