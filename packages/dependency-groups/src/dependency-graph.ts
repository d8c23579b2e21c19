import { pareError, type Graph, type IndexRun, type TensorSlice } from '@pare/core';
import { resolve, type Axis, type FixedReason } from './axis.js';
import { addRuns, joinRuns, mapsOf, unitAt, type IndexMap } from './index-map.js';
import type { TracedValue } from './rules/rule.js';
import { vanishing } from './vanishing.js';

/** The place of a coupled axis on one axis of one parameter. */
export interface AxisMember {
  readonly tensor: string;
  readonly axis: number;
  readonly map: IndexMap;
}

/** An axis that several tensors share. Its units are removed one by one, each from all members at once. */
export interface CoupledAxis {
  /** Number among the graph's coupled axes, in the order of the parameters. */
  readonly id: number;
  /** Units: heads, neurons, channels, … */
  readonly size: number;
  readonly members: readonly AxisMember[];
  /** Why its units cannot be removed; empty when they can. */
  readonly fixed: readonly FixedReason[];
  /**
   * Nodes that compute a mean, a norm, a softmax or an extremum over the axis: without a unit they give something else than with the unit zeroed. Empty when removing
   * a unit gives exactly what zeroing its slices gives.
   */
  readonly statistics: readonly string[];
}

/** One index of a coupled axis. */
export interface Unit {
  readonly axis: CoupledAxis;
  readonly index: number;
}

/** All that goes together. */
export interface DependencyGroup {
  readonly units: readonly Unit[];
  readonly slices: readonly TensorSlice[];
  /** Parameters that nothing needs any more: those of a dropped expert. */
  readonly removed: readonly string[];
  /** Nodes whose statistics change (see `CoupledAxis.statistics`). */
  readonly statistics: readonly string[];
}

/** What `traceGroups` found out. */
export class DependencyGraph {
  /** Coupled axes of the parameters, fixed ones too. Sizes of 1 that nothing divides are left out unless they are a unit of a larger axis. */
  readonly axes: readonly CoupledAxis[];
  readonly #graph: Graph;
  readonly #values: ReadonlyMap<string, TracedValue>;
  readonly #coupled = new Map<Axis, CoupledAxis>();
  readonly #roots = new Map<CoupledAxis, Axis>();
  readonly #places = new Map<CoupledAxis, readonly Place[]>();

  constructor(graph: Graph, values: ReadonlyMap<string, TracedValue>, parameters: readonly string[]) {
    this.#graph = graph;
    this.#values = values;
    const axes: (CoupledAxis & { readonly members: AxisMember[] })[] = [];
    const byPart = new Map<Axis, { readonly members: AxisMember[] }>();
    for (const tensor of parameters) {
      const { axes: own, shape } = values.get(tensor)!;
      for (const [axis, each] of own.entries()) {
        if (shape[axis] === 1) continue;
        for (const { part, map } of mapsOf(each)) {
          let entry = byPart.get(part);
          if (entry === undefined) {
            const coupled = { id: axes.length, size: Number(part.size), members: [] as AxisMember[], fixed: [...part.fixed.values()], statistics: [...part.statistics] };
            axes.push(coupled);
            this.#coupled.set(part, coupled);
            this.#roots.set(coupled, part);
            byPart.set(part, coupled);
            entry = coupled;
          }
          entry.members.push({ tensor, axis, map });
        }
      }
    }
    this.axes = axes;
  }

  /**
   * The units that an index of a tensor's axis belongs to, outermost first: a row of a query matrix belongs to a key-value head, to a place in that head's group, and to a
   * channel inside the head.
   * @param tensor a parameter or any other value of the graph
   * @throws PARE_TENSOR_UNKNOWN, PARE_SLICE_UNKNOWN
   */
  unitsOf(tensor: string, axis: number, index: number): Unit[] {
    const value = this.#values.get(tensor);
    if (value === undefined) throw pareError('PARE_TENSOR_UNKNOWN', { tensor, model: this.#graph.name });
    const size = value.shape[axis];
    if (size === undefined || !Number.isInteger(index) || index < 0 || (typeof size === 'number' && index >= size)) {
      throw pareError('PARE_SLICE_UNKNOWN', { tensor, axis, index, shape: value.shape });
    }
    if (typeof size !== 'number') {
      const reasons = [...resolve(value.axes[axis]!).fixed.values()];
      throw pareError('PARE_SLICE_FIXED', { tensor, axis, index, reasons: reasons.length === 0 ? [`its size ${size} is known only when the graph runs`] : reasons.map(reasonText) });
    }
    const units: Unit[] = [];
    for (const { part, map } of mapsOf(value.axes[axis]!)) {
      const unit = unitAt(map, Number(part.size), index);
      if (unit !== undefined) units.push({ axis: this.#coupledAxis(part), index: unit });
    }
    return units;
  }

  /**
   * Everything that goes with one index of one axis of one tensor. Where an axis is made of factors (heads × head size), the outermost that may change is taken: the
   * whole head. `unitsOf` has the others, for `group`.
   * @throws PARE_TENSOR_UNKNOWN, PARE_SLICE_UNKNOWN; PARE_SLICE_FIXED when it reaches the model's inputs or outputs, or an operator that forbids it
   */
  groupOf(tensor: string, axis: number, index: number): DependencyGroup {
    const units = this.unitsOf(tensor, axis, index);
    const free = units.find((unit) => unit.axis.fixed.length === 0);
    if (free === undefined) {
      throw pareError('PARE_SLICE_FIXED', { tensor, axis, index, reasons: units.flatMap((unit) => unit.axis.fixed).map(reasonText) });
    }
    return this.group([free]);
  }

  /**
   * Everything that goes with some units together.
   * @throws PARE_SLICE_FIXED when a unit cannot go, or when nothing of an output would remain
   */
  group(units: readonly Unit[]): DependencyGroup {
    if (units.length === 1 && units[0]!.axis.size > 1) return this.#single(units[0]!);
    const chosen = new Map<CoupledAxis, Set<number>>();
    for (const { axis, index } of units) {
      checkUnit(axis, index);
      const indices = chosen.get(axis);
      if (indices === undefined) chosen.set(axis, new Set([index]));
      else indices.add(index);
    }
    const slices = joinSlices([...chosen].flatMap(([axis, indices]) => this.#slices(axis, [...indices])));
    const emptied = [...chosen].filter(([axis, indices]) => indices.size === axis.size).map(([axis]) => this.#roots.get(axis)!);
    const removed = emptied.length === 0 ? new Set<string>() : vanishing(this.#graph, this.#values, new Set(emptied));
    return {
      units,
      slices: slices.filter(({ tensor }) => !removed.has(tensor)),
      removed: [...removed],
      statistics: [...new Set([...chosen.keys()].flatMap(({ statistics }) => statistics))],
    };
  }

  /** `group` of one unit of an axis that has more: the common case, and of a large model there are hundreds of thousands. */
  #single(unit: Unit): DependencyGroup {
    const { axis, index } = unit;
    checkUnit(axis, index);
    return { units: [unit], slices: this.#slices(axis, [index]), removed: [], statistics: axis.statistics };
  }

  /** What units of one coupled axis take from each parameter. */
  #slices(axis: CoupledAxis, indices: readonly number[]): TensorSlice[] {
    let places = this.#places.get(axis);
    if (places === undefined) {
      places = placesOf(axis);
      this.#places.set(axis, places);
    }
    return places.map(({ tensor, axis: of, maps }) => {
      const runs: IndexRun[] = [];
      for (const map of maps) for (const index of indices) addRuns(map, index, runs);
      return { tensor, axis: of, runs: runs.length === 1 ? runs : joinRuns(runs) };
    });
  }

  /** A part that no parameter has, such as an axis of activations alone, is coupled to nothing. */
  #coupledAxis(part: Axis): CoupledAxis {
    let coupled = this.#coupled.get(part);
    if (coupled === undefined) {
      coupled = { id: this.axes.length + this.#coupled.size, size: Number(part.size), members: [], fixed: [...part.fixed.values()], statistics: [...part.statistics] };
      this.#coupled.set(part, coupled);
      this.#roots.set(coupled, part);
    }
    return coupled;
  }
}

/** An axis of a parameter with everything that a coupled axis has on it. */
interface Place {
  readonly tensor: string;
  readonly axis: number;
  readonly maps: IndexMap[];
}

function placesOf({ members }: CoupledAxis): Place[] {
  const places = new Map<string, Place>();
  for (const { tensor, axis, map } of members) {
    const key = `${String(axis)} ${tensor}`;
    const place = places.get(key);
    if (place === undefined) places.set(key, { tensor, axis, maps: [map] });
    else place.maps.push(map);
  }
  return [...places.values()];
}

/** Slices with one entry for each axis of each tensor. */
function joinSlices(slices: readonly TensorSlice[]): TensorSlice[] {
  const joined = new Map<string, TensorSlice>();
  for (const slice of slices) {
    const key = `${String(slice.axis)} ${slice.tensor}`;
    const known = joined.get(key);
    joined.set(key, known === undefined ? slice : { ...known, runs: joinRuns([...known.runs, ...slice.runs]) });
  }
  return [...joined.values()];
}

function checkUnit({ members, fixed, size }: CoupledAxis, index: number): void {
  if (fixed.length === 0 && Number.isInteger(index) && index >= 0 && index < size) return;
  const { tensor, axis } = members[0] ?? { tensor: 'an activation', axis: 0 };
  if (fixed.length > 0) throw pareError('PARE_SLICE_FIXED', { tensor, axis, index, reasons: fixed.map(reasonText) });
  throw pareError('PARE_SLICE_UNKNOWN', { tensor, axis, index, shape: [size] });
}

function reasonText({ kind, name, reason }: FixedReason): string {
  return kind === 'operator' ? `at node "${name}" ${reason}` : `${reason} "${name}"`;
}
