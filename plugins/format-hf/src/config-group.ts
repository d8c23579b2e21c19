import type { InputScheme } from '@pare/core';
import type { PackedScheme } from './packed-scheme.js';

/** One entry of `config_groups`: how the matrices of a scheme are stored, and what happens to their inputs. */
export function configGroup(scheme: PackedScheme, targets: readonly string[]): Readonly<Record<string, unknown>> {
  return {
    targets,
    format: scheme.layout,
    input_activations: scheme.input === undefined ? null : inputArguments(scheme.input),
    output_activations: null,
    weights: {
      num_bits: scheme.bits,
      type: scheme.layout === 'float-quantized' ? 'float' : 'int',
      symmetric: scheme.symmetric,
      strategy: scheme.granularity,
      group_size: scheme.groupSize ?? null,
      dynamic: false,
      // Order inside fixed groups leaves no trace in the file; only a stored index is to be declared.
      actorder: scheme.groupIndex ? 'group' : null,
      block_structure: null,
      observer: 'minmax',
      observer_kwargs: {},
    },
  };
}

function inputArguments({ bits, symmetric, granularity, dynamic }: InputScheme): Readonly<Record<string, unknown>> {
  return {
    num_bits: bits,
    type: 'int',
    symmetric,
    strategy: granularity,
    group_size: null,
    dynamic,
    actorder: null,
    block_structure: null,
    // Grids that follow the input need nobody who watches it.
    observer: dynamic ? null : 'minmax',
    observer_kwargs: {},
  };
}
