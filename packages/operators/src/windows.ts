/* Geometry of sliding windows over spatial axes: convolution and pooling, whatever computes them. */

/** Where windows lie, one number a spatial axis. */
export interface Windows {
  readonly input: readonly number[];
  readonly kernel: readonly number[];
  readonly output: readonly number[];
  readonly steps: readonly number[];
  readonly dilations: readonly number[];
  readonly begins: readonly number[];
  readonly ends: readonly number[];
}

/** What the attributes of a window operator say. */
export interface WindowAttributes {
  readonly spatial: readonly number[];
  readonly kernel: readonly number[];
  readonly strides: readonly number[] | undefined;
  readonly dilations: readonly number[] | undefined;
  /** NOTSET, SAME_UPPER, SAME_LOWER or VALID. */
  readonly autoPad: string;
  /** Of all axes' beginnings, then of all ends; without effect unless `autoPad` is NOTSET. */
  readonly pads: readonly number[] | undefined;
  readonly ceilMode: boolean;
  /** Throws the operator's error. */
  readonly fail: (problem: string) => never;
}

/** Output sizes: floor or ceil of (input + pads − ((kernel − 1) · dilation + 1)) / stride, plus 1; SAME_* pads so that it is ceil(input / stride). */
export function planWindows({ spatial, kernel, autoPad, ceilMode, fail, ...given }: WindowAttributes): Windows {
  const rank = spatial.length;
  if (kernel.length !== rank) fail(`kernel [${kernel.join(', ')}] does not fit spatial axes [${spatial.join(', ')}]`);
  const steps = given.strides ?? kernel.map(() => 1);
  const dilations = given.dilations ?? kernel.map(() => 1);
  const pads = (autoPad === 'NOTSET' ? given.pads : undefined) ?? new Array<number>(2 * rank).fill(0);
  const begins = pads.slice(0, rank);
  const ends = pads.slice(rank);
  const output = spatial.map((size, axis) => {
    const span = (kernel[axis]! - 1) * dilations[axis]! + 1;
    const step = steps[axis]!;
    if (autoPad === 'SAME_UPPER' || autoPad === 'SAME_LOWER') {
      const length = Math.ceil(size / step);
      const total = Math.max(0, (length - 1) * step + span - size);
      begins[axis] = autoPad === 'SAME_UPPER' ? Math.floor(total / 2) : Math.ceil(total / 2);
      ends[axis] = total - begins[axis];
      return length;
    }
    const reach = size + begins[axis]! + ends[axis]! - span;
    if (reach < 0) return 0;
    const length = (ceilMode ? Math.ceil(reach / step) : Math.floor(reach / step)) + 1;
    // A last window that would start in the padding at the end is left out.
    return ceilMode && (length - 1) * step >= size + begins[axis]! ? length - 1 : length;
  });
  return { input: spatial, kernel, output, steps, dilations, begins, ends };
}
