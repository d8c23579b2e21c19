import type { ModelSummary, TargetModule } from '@pare/core';
import { traceGroups, type CoupledAxis, type DependencyGraph, type Unit } from '@pare/dependency-groups';
import { buildDecoderGraph } from '@pare/model';
import type { LlmPrunerOptions } from './options.js';

/** Units of one kind that compete with each other: the heads of a layer, its neurons, its experts, or the hidden channels. */
export interface Layer {
  readonly kind: 'heads' | 'neurons' | 'experts' | 'channels';
  /** The module that it is found at; reports name it. */
  readonly module: string;
  readonly units: readonly Unit[];
  /** Rows of its smallest member that one unit takes: 1, or the size of a head. */
  readonly rows: number;
  readonly ratio: number;
  /** Least number of units that has to remain. */
  readonly minimum: number;
}

/** What can be pruned in a model. */
export interface Structure {
  readonly groups: DependencyGraph;
  readonly layers: readonly Layer[];
}

/**
 * The layers of the targeted modules. Heads are found at the inputs of attention's output projection, neurons at those of the down projection, experts at the router's
 * outputs, channels at the embedding: what goes with them follows from the graph.
 */
export function findLayers(targets: readonly TargetModule<LlmPrunerOptions>[], { description }: Pick<ModelSummary, 'description'>): Structure {
  const groups = traceGroups(buildDecoderGraph(description));
  const { granularity, ratio } = targets[0]!.options;
  if (granularity === 'layer') return { groups, layers: [] };
  if (granularity === 'channel') return { groups, layers: [wholeAxis(groups, 'channels', description.embedding.module, ratio)] };
  const layers = targets.flatMap(({ info: { name, role, shape, block }, options }): Layer[] => {
    switch (role) {
      case 'attention.output':
        return [wholeAxis(groups, 'heads', name, options.ratio)];
      case 'mlp.down':
        return [wholeAxis(groups, 'neurons', name, options.ratio)];
      case 'mlp.router': {
        const mlp = description.blocks[block!]!.mlp;
        const units = Array.from({ length: shape[0] }, (_, expert) => groups.unitsOf(`${name}.weight`, 0, expert)[0]!);
        return [{ kind: 'experts', module: name, units, rows: 1, ratio: options.ratio, minimum: mlp.kind === 'moe' ? mlp.expertsPerToken : 1 }];
      }
      default:
        return [];
    }
  });
  return { groups, layers };
}

/** All units of the outermost coupled axis at a module's inputs. */
function wholeAxis(groups: DependencyGraph, kind: Layer['kind'], module: string, ratio: number): Layer {
  const { axis } = groups.unitsOf(`${module}.weight`, 1, 0)[0]!;
  return { kind, module, units: Array.from({ length: axis.size }, (_, index) => ({ axis, index })), rows: smallestRows(axis), ratio, minimum: 1 };
}

function smallestRows({ members }: CoupledAxis): number {
  return Math.min(...members.map(({ map: { length, repeats } }) => repeats.reduce((rows, { count }) => rows * count, length)));
}

/**
 * Units that go from a layer: floor((C − floor(C · (1 − ratio))) / rows) with C rows in all, so that a head goes when all of its rows would (the pruner of LLM-Pruner counts so).
 * Rounded so that a multiple remains.
 */
export function removedUnits({ units, rows, ratio, kind }: Layer, multipleOf: number): number {
  const total = units.length * rows;
  const removed = Math.floor((total - Math.floor(total * (1 - ratio))) / rows);
  if (kind === 'heads' || kind === 'experts') return removed;
  return units.length - Math.min(units.length, Math.ceil((units.length - removed) / multipleOf) * multipleOf);
}
