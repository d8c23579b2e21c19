/*
 * The column sweep (GPTQ, Frantar et al. 2022, arXiv 2210.17323, algorithm 1): columns are settled one after another and the error of each,
 * e = (w − ŵ) / U_ii, is taken out of the columns to come, W_j −= e · U_ij. Rows do not touch each other, so a thread takes a strip of
 * sixteen rows through all columns. A strip holds its columns one after another, sixteen rows to a cache line; a settled column is
 * replaced by its errors, which later columns read.
 */
import { aborted, fail, takeTicket } from './control';
import { computeGrid, gridDivisor, gridScale, gridZero } from './grid';
import { columnBytes, subtractColumn32, subtractTile32 } from './tiles';

/** Rows of a strip. */
export const stripRows: i32 = 16;
/** Columns that are settled between two products inside a block. */
export const segmentColumns: i32 = 16;

/** Byte offset of a quad of columns in the packed factor: quad q has 4(q+1) rows of four float32. */
// @ts-ignore: decorator
@inline
export function quadOffset(q: i32): usize {
  return (<usize>q * <usize>(q + 1)) << 5;
}

/**
 * Packs an upper triangular float32 U [n, n] into quads of columns: quad q holds rows 0 … 4q+3 of columns 4q … 4q+3 as [row][4], so that
 * products read it front to back. Columns beyond n are zero.
 */
export function packFactor(upper: usize, n: i32, packed: usize, _control: usize, thread: i32, threads: i32): void {
  const quads = (n + 3) >> 2;
  for (let q = thread; q < quads; q += threads) {
    let target = packed + quadOffset(q);
    const columns = min(4, n - 4 * q);
    const rows = min(4 * q + 4, n);
    for (let k = 0; k < rows; k++) {
      const source = upper + ((<usize>k * <usize>n + <usize>(4 * q)) << 2);
      if (columns == 4) v128.store(target, v128.load(source));
      else for (let c = 0; c < 4; c++) store<f32>(target + (<usize>c << 2), c < columns ? load<f32>(source + (<usize>c << 2)) : 0);
      target += 16;
    }
  }
}

/** Columns [from, to) of a strip −= errors of columns [first, last) · U. */
export function propagate(strip: usize, packed: usize, first: i32, last: i32, from: i32, to: i32): void {
  const depth = last - first;
  const errors = strip + <usize>first * columnBytes;
  let j = from;
  for (; j < to && (j & 3) != 0; j++) {
    subtractColumn32(strip + <usize>j * columnBytes, errors, packed + quadOffset(j >> 2) + (<usize>first << 4) + (<usize>(j & 3) << 2), depth);
  }
  for (; j + 4 <= to; j += 4) {
    const u = packed + quadOffset(j >> 2) + (<usize>first << 4);
    const target = strip + <usize>j * columnBytes;
    subtractTile32(target, errors, u, depth);
    subtractTile32(target + 32, errors + 32, u, depth);
  }
  for (; j < to; j++) {
    subtractColumn32(strip + <usize>j * columnBytes, errors, packed + quadOffset(j >> 2) + (<usize>first << 4) + (<usize>(j & 3) << 2), depth);
  }
}

/** `propagate` on every strip of `strips`, each n columns long; threads take them in turn. For rules that settle columns outside. */
export function propagateStrips(
  strips: usize, count: i32, n: i32, packed: usize, first: i32, last: i32, from: i32, to: i32,
  control: usize, _thread: i32, _threads: i32,
): void {
  for (;;) {
    const index = takeTicket(control);
    if (index >= count) return;
    propagate(strips + <usize>index * <usize>n * columnBytes, packed, first, last, from, to);
  }
}

/** Where a block that starts at `start` ends: after `size` columns, or before the first dynamic group that would not fit into it. */
export function blockEnd(start: i32, size: i32, n: i32, groupSize: i32, dynamic: bool): i32 {
  const end = min(start + size, n);
  if (!dynamic) return end;
  const next = (start / groupSize + 1) * groupSize;
  for (let group = next; group < end; group += groupSize) if (min(group + groupSize, n) > end) return group;
  return end;
}

/**
 * Sweeps a matrix with a uniform quantizer; at most `limit` strips a call when it is positive. Returns 1 while strips are left.
 *
 * weight [rows, n] float32 in natural column order, dead columns zeroed. order [n] int32: the column at each position. packed: U from
 * `packFactor`. columnGroup [n] int32: the group of each position. dynamic: groups are taken from compensated weights when they start,
 * otherwise from `weight`. table: 0, or the power table of the clip search. mask: 0, or [rows, n] uint8 in natural order, 0 for entries that
 * settle at zero, which do not count in grids. Results: codes [rows, n] uint8 in natural order, scales
 * [rows, groups] float32, zeros [rows, groups] uint8, losses [rows] float64, Σ e² a row.
 * scratch: for each thread 64·n + 320·groups + 192 + 4·n bytes, a multiple of 16.
 */
export function sweepQuantizer(
  weight: usize, rows: i32, n: i32, order: usize, packed: usize, columnGroup: usize, groups: i32, groupSize: i32, dynamic: i32,
  bits: i32, symmetric: i32, scaleType: i32, table: usize, doubling: f64, blockSize: i32, mask: usize,
  codes: usize, scales: usize, zeros: usize, losses: usize, scratch: usize, limit: i32,
  control: usize, thread: i32, _threads: i32,
): i32 {
  const strip = scratch + <usize>thread * ((<usize>n * 68 + <usize>groups * 320 + 207) & ~15);
  const gridScales = strip + <usize>n * 64;
  const gridDivisors = gridScales + <usize>groups * 64;
  const gridZeros = gridDivisors + <usize>groups * 128;
  const loss = gridZeros + <usize>groups * 128;
  const pair = loss + 128;
  const kept = pair + 64;
  const largest = f64x2.splat(<f64>((1 << bits) - 1));

  for (let taken = 0; limit == 0 || taken < limit; taken++) {
    if (aborted(control)) {
      fail(control, n);
      return 0;
    }
    const firstRow = takeTicket(control) * stripRows;
    if (firstRow >= rows) return 0;
    const height = min(stripRows, rows - firstRow);
    loadStrip(weight + ((<usize>firstRow * <usize>n) << 2), height, n, order, strip);
    memory.fill(loss, 0, 128);
    fillGrids(gridScales, groups, height);
    if (!dynamic) staticGrids(weight + ((<usize>firstRow * <usize>n) << 2), height, n, gridScales, groups, groupSize, bits, symmetric, scaleType, table, doubling, pair);

    for (let start = 0; start < n; ) {
      const end = blockEnd(start, blockSize, n, groupSize, dynamic != 0);
      for (let from = start; from < end; ) {
        let to = min(from + segmentColumns, end);
        if (dynamic) {
          to = min(to, (from / groupSize + 1) * groupSize);
          if (from % groupSize == 0) {
            const count = min(groupSize, n - from);
            for (let r = 0; r < height; r++) {
              let values = strip + <usize>from * columnBytes + (<usize>r << 2);
              let stride = columnBytes;
              if (mask != 0) {
                gatherKept(values, count, mask + <usize>(firstRow + r) * <usize>n, order + (<usize>from << 2), kept);
                values = kept;
                stride = 4;
              }
              computeGrid(values, count, stride, bits, symmetric != 0, scaleType, table, doubling, pair);
              keepGrid(gridScales, gridDivisors, gridZeros, from / groupSize, r);
            }
          }
        }
        for (let i = from; i < to; i++) {
          const column = strip + <usize>i * columnBytes;
          const u = packed + quadOffset(i >> 2) + (<usize>(i & 3) << 2);
          subtractColumn32(column, strip + <usize>from * columnBytes, u + (<usize>from << 4), i - from);
          const group = load<i32>(columnGroup + (<usize>i << 2)) * stripRows;
          const place = <usize>firstRow * <usize>n + <usize>load<i32>(order + (<usize>i << 2));
          settleColumn(
            column, load<f32>(u + (<usize>i << 4)), gridScales + (<usize>group << 2), gridDivisors + (<usize>group << 3), gridZeros + (<usize>group << 3), largest,
            mask == 0 ? 0 : mask + place, codes + place, n, height, loss,
          );
        }
        propagate(strip, packed, from, to, to, end);
        from = to;
      }
      propagate(strip, packed, start, end, end, n);
      start = end;
    }

    for (let r = 0; r < height; r++) {
      store<f64>(losses + (<usize>(firstRow + r) << 3), load<f64>(loss + (<usize>r << 3)));
      for (let g = 0; g < groups; g++) {
        const from = <usize>(g * stripRows + r);
        const to = <usize>(firstRow + r) * <usize>groups + <usize>g;
        store<f32>(scales + (to << 2), load<f32>(gridScales + (from << 2)));
        store<u8>(zeros + to, <u8>load<f64>(gridZeros + (from << 3)));
      }
    }
  }
  return 1;
}

/** Bytes of the grids of a strip for each group: scales float32, divisors float64, zeros float64, each [groups, 16]. */
export const gridBytes: usize = 320;

/** Grids that divide, for rows that fill a strip up: they are zero. */
export function fillGrids(grids: usize, groups: i32, height: i32): void {
  const divisors = grids + <usize>groups * 64;
  for (let r = height; r < stripRows; r++) for (let g = 0; g < groups; g++) store<f64>(divisors + (<usize>(g * stripRows + r) << 3), 1);
}

/** Grids of the rows of a strip from their weights, groups in natural order. `pair` is room for two float32 and more. */
export function staticGrids(
  weight: usize, height: i32, n: i32, grids: usize, groups: i32, groupSize: i32, bits: i32, symmetric: i32, scaleType: i32, table: usize, doubling: f64, pair: usize,
): void {
  const divisors = grids + <usize>groups * 64;
  const zeros = divisors + <usize>groups * 128;
  for (let r = 0; r < height; r++) {
    const row = weight + ((<usize>r * <usize>n) << 2);
    for (let g = 0; g < groups; g++) {
      const start = g * groupSize;
      computeGrid(row + (<usize>start << 2), min(groupSize, n - start), 4, bits, symmetric != 0, scaleType, table, doubling, pair);
      keepGrid(grids, divisors, zeros, g, r);
    }
  }
}

/** Values of a row in a strip, in visiting order, with zero where the row's mask prunes. */
function gatherKept(values: usize, count: i32, mask: usize, order: usize, into: usize): void {
  for (let i = 0; i < count; i++) {
    const kept = load<u8>(mask + <usize>load<i32>(order + (<usize>i << 2)));
    store<f32>(into + (<usize>i << 2), kept != 0 ? load<f32>(values + <usize>i * columnBytes) : 0);
  }
}

function keepGrid(scales: usize, divisors: usize, zeros: usize, group: i32, row: i32): void {
  const at = <usize>(group * stripRows + row);
  store<f32>(scales + (at << 2), <f32>gridScale);
  store<f64>(divisors + (at << 3), gridDivisor);
  store<f64>(zeros + (at << 3), gridZero);
}

/** Rows [height, n] in visiting order as columns of sixteen; missing rows are zero. */
export function loadStrip(rows: usize, height: i32, n: i32, order: usize, strip: usize): void {
  if (height < stripRows) memory.fill(strip, 0, <usize>n * columnBytes);
  for (let i = 0; i < n; i++) {
    let source = rows + (<usize>load<i32>(order + (<usize>i << 2)) << 2);
    let target = strip + <usize>i * columnBytes;
    for (let r = 0; r < height; r++) {
      store<f32>(target, load<f32>(source));
      source += <usize>n << 2;
      target += 4;
    }
  }
}

/** Lanes of ones for four rows of a mask that are kept, zeros for pruned ones; rows from `height` on count as kept. */
// @ts-ignore: decorator
@inline
export function keptLanes(mask: usize, stride: usize, row: i32, height: i32): v128 {
  const first = mask + <usize>row * stride;
  if (row + 4 <= height) {
    const bytes = i32x4(load<u8>(first), load<u8>(first + stride), load<u8>(first + 2 * stride), load<u8>(first + 3 * stride));
    return i32x4.neg(bytes);
  }
  let lanes = i32x4.splat(-1);
  if (row < height) lanes = i32x4.replace_lane(lanes, 0, -(<i32>load<u8>(first)));
  if (row + 1 < height) lanes = i32x4.replace_lane(lanes, 1, -(<i32>load<u8>(first + stride)));
  if (row + 2 < height) lanes = i32x4.replace_lane(lanes, 2, -(<i32>load<u8>(first + 2 * stride)));
  return lanes;
}

/**
 * Settles a column of sixteen weights on their grids: writes the codes, adds e² to the losses and leaves e in place of the weights. Entries that the mask
 * prunes (0 for no mask) settle at zero.
 */
export function settleColumn(
  column: usize, pivot: f32, scales: usize, divisors: usize, zeros: usize, largest: v128, mask: usize, codes: usize, codeStride: usize, height: i32, loss: usize,
): void {
  const pivots = f32x4.splat(pivot);
  for (let r = 0; r < stripRows; r += 4) {
    const singles = <usize>r << 2;
    const doubles = <usize>r << 3;
    const w = v128.load(column + singles);
    // Codes are chosen in float64, as rounding to nearest does.
    const zeros0 = v128.load(zeros + doubles);
    const zeros1 = v128.load(zeros + doubles, 16);
    const w0 = f64x2.promote_low_f32x4(w);
    const w1 = f64x2.promote_low_f32x4(v128.shuffle<f32>(w, w, 2, 3, 2, 3));
    let q0 = f64x2.nearest(f64x2.div(w0, v128.load(divisors + doubles)));
    let q1 = f64x2.nearest(f64x2.div(w1, v128.load(divisors + doubles, 16)));
    q0 = f64x2.pmin(f64x2.sub(largest, zeros0), f64x2.pmax(f64x2.neg(zeros0), q0));
    q1 = f64x2.pmin(f64x2.sub(largest, zeros1), f64x2.pmax(f64x2.neg(zeros1), q1));
    if (mask != 0) {
      const kept = keptLanes(mask, codeStride, r, height);
      q0 = v128.and(q0, i64x2.extend_low_i32x4_s(kept));
      q1 = v128.and(q1, i64x2.extend_high_i32x4_s(kept));
    }
    const q = v128.shuffle<f32>(f32x4.demote_f64x2_zero(q0), f32x4.demote_f64x2_zero(q1), 0, 1, 4, 5);
    const e = f32x4.div(f32x4.sub(w, f32x4.mul(v128.load(scales + singles), q)), pivots);
    v128.store(column + singles, e);
    const e0 = f64x2.promote_low_f32x4(e);
    const e1 = f64x2.promote_low_f32x4(v128.shuffle<f32>(e, e, 2, 3, 2, 3));
    v128.store(loss + doubles, f64x2.add(v128.load(loss + doubles), f64x2.mul(e0, e0)));
    v128.store(loss + doubles, f64x2.add(v128.load(loss + doubles, 16), f64x2.mul(e1, e1)), 16);
    const code0 = i32x4.trunc_sat_f64x2_s_zero(f64x2.add(q0, zeros0));
    const code1 = i32x4.trunc_sat_f64x2_s_zero(f64x2.add(q1, zeros1));
    const target = codes + <usize>r * codeStride;
    if (r + 4 <= height) {
      store<u8>(target, i32x4.extract_lane(code0, 0));
      store<u8>(target + codeStride, i32x4.extract_lane(code0, 1));
      store<u8>(target + 2 * codeStride, i32x4.extract_lane(code1, 0));
      store<u8>(target + 3 * codeStride, i32x4.extract_lane(code1, 1));
    } else {
      if (r < height) store<u8>(target, i32x4.extract_lane(code0, 0));
      if (r + 1 < height) store<u8>(target + codeStride, i32x4.extract_lane(code0, 1));
      if (r + 2 < height) store<u8>(target + 2 * codeStride, i32x4.extract_lane(code1, 0));
    }
  }
}
