import type { DeviceTraits, Operand } from '@pare/executor';

/* A device binds at most `maximumBinding` bytes of a buffer. Work over larger operands is cut into boxes, each of which reaches no further in any of them. */

/** A dimension that work can be cut along. */
export interface Axis {
  readonly size: number;
  /** Cuts fall on multiples of this where they can. */
  readonly multiple: number;
}

/** Where work reads or writes a buffer: element (i, j, …) of the axes lies at first + Σ index · stride bytes. */
export interface Reach {
  readonly buffer: string;
  readonly access: 'read' | 'write';
  readonly elementBytes: number;
  /** Where the first element lies, in bytes; 0 by default. */
  readonly first?: number | undefined;
  /** Bytes between neighbours along each axis that matters. May be fractions where several elements share a byte. */
  readonly strides: Readonly<Record<string, number>>;
}

/** A part of the work: start and size along each axis. */
export interface Box {
  readonly start: Readonly<Record<string, number>>;
  readonly size: Readonly<Record<string, number>>;
}

function firstByte(reach: Reach, box: Box, traits: DeviceTraits): number {
  let first = reach.first ?? 0;
  for (const [axis, stride] of Object.entries(reach.strides)) first += box.start[axis]! * stride;
  return Math.floor(Math.floor(first) / traits.offsetAlignment) * traits.offsetAlignment;
}

function lastByte(reach: Reach, box: Box): number {
  let last = reach.first ?? 0;
  for (const [axis, stride] of Object.entries(reach.strides)) last += (box.start[axis]! + box.size[axis]! - 1) * stride;
  return Math.ceil((Math.floor(last) + reach.elementBytes) / 4) * 4;
}

/**
 * Cuts work until every operand of a part fits into a binding; the axis that an operand stretches furthest along is halved first. Parts of a
 * later axis follow each other before the next part of an earlier one.
 * @throws RangeError when not even one element fits
 */
export function boxes(axes: Readonly<Record<string, Axis>>, reaches: readonly Reach[], traits: DeviceTraits): Box[] {
  const size = Object.fromEntries(Object.entries(axes).map(([name, axis]) => [name, axis.size]));
  if (Object.values(size).some((extent) => extent === 0)) return [];
  // One piece size for all: pieces of an axis are equal but for the last, and every combination fits because no piece is larger than the first.
  for (;;) {
    const wide = reaches.find((reach) => span(reach, size) + traits.offsetAlignment > traits.maximumBinding && !fitsWhole(reach, size, axes, traits));
    if (wide === undefined) break;
    const [axis] = Object.entries(wide.strides)
      .filter(([name]) => size[name]! > 1)
      .sort(([a, x], [b, y]) => (size[b]! - 1) * y - (size[a]! - 1) * x)[0] ?? [undefined];
    if (axis === undefined) throw new RangeError(`an element of ${wide.buffer} does not fit into a binding of ${String(traits.maximumBinding)} bytes`);
    const half = Math.ceil(size[axis]! / 2);
    const rounded = Math.ceil(half / axes[axis]!.multiple) * axes[axis]!.multiple;
    size[axis] = rounded < size[axis]! ? rounded : half;
  }
  let parts: Box[] = [{ start: {}, size: {} }];
  for (const [name, axis] of Object.entries(axes)) {
    const pieces = Array.from({ length: Math.ceil(axis.size / size[name]!) }, (_, index) => index * size[name]!);
    parts = parts.flatMap((part) =>
      pieces.map((start) => ({ start: { ...part.start, [name]: start }, size: { ...part.size, [name]: Math.min(size[name]!, axis.size - start) } })),
    );
  }
  return parts;
}

function span(reach: Reach, size: Readonly<Record<string, number>>): number {
  let bytes = reach.elementBytes + 4;
  for (const [axis, stride] of Object.entries(reach.strides)) bytes += (size[axis]! - 1) * stride;
  return bytes;
}

/** True when the operand is reached in one piece and needs no room for alignment. */
function fitsWhole(reach: Reach, size: Readonly<Record<string, number>>, axes: Readonly<Record<string, Axis>>, traits: DeviceTraits): boolean {
  const whole = reach.first === undefined && Object.keys(reach.strides).every((axis) => reach.strides[axis] === 0 || size[axis] === axes[axis]!.size);
  return whole && span(reach, size) - 4 <= traits.maximumBinding;
}

/** The operand that a box binds, and the byte of its window where the box's first element lies. */
export function windowOf(reach: Reach, box: Box, traits: DeviceTraits): { readonly operand: Operand; readonly base: number } {
  const offset = firstByte(reach, box, traits);
  let first = reach.first ?? 0;
  for (const [axis, stride] of Object.entries(reach.strides)) first += box.start[axis]! * stride;
  return { operand: { buffer: reach.buffer, access: reach.access, offset, size: lastByte(reach, box) - offset }, base: Math.floor(first) - offset };
}
