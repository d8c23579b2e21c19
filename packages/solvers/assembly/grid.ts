/* The grids of @pare/weights (grid.ts there is the reference), operation for operation, so that both give the same bits. */

/** Storage types of scales, as `scaleType` arguments number them. */
const float32: i32 = 0;
const float16: i32 = 1;

/** Adding and subtracting it rounds to the nearest integer, ties to even. */
const roundingShift: f64 = 6755399441055744;
const candidates: i32 = 80;
const tableIntervals: f64 = 2048;

/** The result of the last `computeGrid` of this thread. */
export let gridScale: f64 = 0;
export let gridDivisor: f64 = 0;
export let gridZero: f64 = 0;

/** Nearest value in a storage type, through float32. */
function roundToStorage(value: f64, type: i32): f64 {
  const single = <f32>value;
  if (type == float32) return <f64>single;
  const bits = reinterpret<u32>(single);
  if (type == float16) return <f64>roundToHalf(bits);
  if ((bits & 0x7fffffff) > 0x7f800000) return <f64>single;
  return <f64>reinterpret<f32>((bits + 0x7fff + ((bits >> 16) & 1)) & 0xffff0000);
}

/** Nearest IEEE half to the magnitude of a float32; scales have no sign. */
function roundToHalf(bits: u32): f32 {
  const magnitude = bits & 0x7fffffff;
  if (magnitude >= 0x477ff000) return f32.MAX_VALUE * 2;
  // Subnormal halves are multiples of 2^-24.
  if (magnitude < 0x38800000) return nearest<f32>(reinterpret<f32>(magnitude) * 16777216) / 16777216;
  return reinterpret<f32>((magnitude + 0xfff + ((magnitude >> 13) & 1)) & 0xffffe000);
}

function smallestPositive(type: i32): f64 {
  if (type == float32) return <f64>reinterpret<f32>(1);
  if (type == float16) return 1.0 / 16777216.0;
  return <f64>reinterpret<f32>(0x10000);
}

function power(table: usize, doubling: f64, value: f64): f64 {
  let x = value;
  let factor: f64 = 1;
  while (x > 1) {
    if (x == Infinity) return Infinity;
    x *= 0.5;
    factor *= doubling;
  }
  const position = x * tableIntervals;
  const index = <i32>position;
  const entry = table + (<usize>index << 3);
  const low = load<f64>(entry);
  return factor * (low + (position - <f64>index) * (load<f64>(entry, 8) - low));
}

/** Sets scale, divisor and zero for a range shrunk by `shrink`. */
function gridOfRange(low: f64, high: f64, shrink: f64, bits: i32, symmetric: bool, scaleType: i32): void {
  const largest = <f64>((1 << bits) - 1);
  const middle = <f64>(1 << (bits - 1));
  low *= shrink;
  high *= shrink;
  const exact = symmetric ? (2 * max(-low, high)) / largest : (high - low) / largest;
  if (exact == 0) {
    gridScale = 1;
    gridDivisor = 1;
    gridZero = symmetric ? middle : 0;
    return;
  }
  let scale = roundToStorage(exact, scaleType);
  let divisor = scaleType == float32 ? exact : scale;
  if (scale == 0) {
    scale = smallestPositive(scaleType);
    divisor = scale;
  }
  gridScale = scale;
  gridDivisor = divisor;
  gridZero = symmetric ? middle : min(-low / divisor + roundingShift - roundingShift, largest);
}

/** Σ |w/s − (code − zero)|^norm on the current grid, given up above `limit`. `values` are float32, `stride` bytes apart. */
function gridError(values: usize, stride: usize, end: usize, bits: i32, table: usize, doubling: f64, limit: f64): f64 {
  const lowest = -gridZero;
  const highest = <f64>((1 << bits) - 1) - gridZero;
  const divisor = gridDivisor;
  let error: f64 = 0;
  for (let at = values; at < end; at += stride) {
    const scaled = <f64>load<f32>(at) / divisor;
    let code = scaled + roundingShift - roundingShift;
    if (code < lowest) code = lowest;
    if (code > highest) code = highest;
    error += power(table, doubling, abs(scaled - code));
    if (error > limit) break;
  }
  return error;
}

/**
 * The grid of `count` float32 values, `stride` bytes apart, into gridScale, gridDivisor and gridZero. `table` is 0 for the extremes alone,
 * else the power table of the clip search followed by two float64 of scratch.
 */
export function computeGrid(values: usize, count: i32, stride: usize, bits: i32, symmetric: bool, scaleType: i32, table: usize, doubling: f64, pair: usize): void {
  const end = values + <usize>count * stride;
  let lowest: f32 = 0;
  let highest: f32 = 0;
  for (let at = values; at < end; at += stride) {
    const value = load<f32>(at);
    if (value < lowest) lowest = value;
    if (value > highest) highest = value;
  }
  const low = <f64>lowest;
  const high = <f64>highest;
  gridOfRange(low, high, 1, bits, symmetric, scaleType);
  if (table == 0 || (low == 0 && high == 0)) return;

  const wholeScale = gridScale;
  let bestScale = gridScale;
  let bestDivisor = gridDivisor;
  let bestZero = gridZero;
  let least = gridError(values, stride, end, bits, table, doubling, Infinity);
  store<f32>(pair, lowest);
  store<f32>(pair, highest, 4);
  for (let step = 1; step < candidates; step++) {
    gridOfRange(low, high, 1 - <f64>step / 100, bits, symmetric, scaleType);
    const unit = power(table, doubling, gridScale / wholeScale);
    const limit = least / unit;
    const reach = <f64>((1 << bits) - 1) - gridZero;
    const cutOff = max(-low / gridScale - gridZero, high / gridScale - reach) - (symmetric ? 0.0 : 2.0);
    if (cutOff > 0 && power(table, doubling, cutOff) > limit) break;
    if (gridError(pair, 4, pair + 8, bits, table, doubling, limit) > limit) continue;
    const error = gridError(values, stride, end, bits, table, doubling, limit) * unit;
    if (error < least) {
      least = error;
      bestScale = gridScale;
      bestDivisor = gridDivisor;
      bestZero = gridZero;
    }
  }
  gridScale = bestScale;
  gridDivisor = bestDivisor;
  gridZero = bestZero;
}
