/*
 * The column sweep that prunes (SparseGPT, Frantar and Alistarh 2023, arXiv 2301.00774, algorithm 1): pruned entries settle at zero, and their values are taken
 * out of the columns to come. Strips of all rows stay in memory, because an unstructured mask is chosen over all rows of a block.
 */
import { aborted, fail, takeTicket } from './control';
import { blockEnd, fillGrids, gridBytes, keptLanes, loadStrip, propagate, quadOffset, segmentColumns, settleColumn, staticGrids, stripRows } from './sweep';
import { columnBytes, subtractColumn32 } from './tiles';

/**
 * Loads weight [rows, n] float32 into strips, columns in visiting order. grids: 0, or room for 320·groups bytes a strip, which are filled from the weights.
 * scratch: 64 bytes a thread.
 */
export function loadStrips(
  weight: usize, rows: i32, n: i32, order: usize, strips: usize, grids: usize, groups: i32, groupSize: i32, bits: i32, symmetric: i32, scaleType: i32,
  table: usize, doubling: f64, scratch: usize, control: usize, thread: i32, _threads: i32,
): void {
  for (;;) {
    const index = takeTicket(control);
    const firstRow = index * stripRows;
    if (firstRow >= rows) return;
    const height = min(stripRows, rows - firstRow);
    const from = weight + ((<usize>firstRow * <usize>n) << 2);
    loadStrip(from, height, n, order, strips + <usize>index * <usize>n * columnBytes);
    if (grids == 0) continue;
    const own = grids + <usize>index * <usize>groups * gridBytes;
    fillGrids(own, groups, height);
    staticGrids(from, height, n, own, groups, groupSize, bits, symmetric, scaleType, table, doubling, scratch + (<usize>thread << 6));
  }
}

/**
 * Sweeps positions [first, last) of all strips and takes their errors out of every later column; at most `limit` strips a call when it is positive. Returns 1
 * while strips are left.
 *
 * group: 0 when `mask` [rows, n] uint8 (natural order, 0 pruned) is given; otherwise the mask is chosen and written here, `pruned` of every `group` columns,
 * those of least |w| / U_ii as compensated so far, the lower column first when equal (then order is the natural one and group divides n).
 * grids: 0 to leave kept values as they are and write them to values [rows, n] float32; otherwise the strips' grids, and codes [rows, n] uint8 are written.
 * losses [strips·16] float64: e² is added. scratch: for each thread 64·group bytes.
 */
export function sweepPruner(
  strips: usize, rows: i32, n: i32, packed: usize, first: i32, last: i32, blockSize: i32, order: usize, pruned: i32, group: i32, mask: usize, values: usize,
  grids: usize, columnGroup: usize, groups: i32, bits: i32, codes: usize, losses: usize, scratch: usize, limit: i32,
  control: usize, thread: i32, _threads: i32,
): i32 {
  const scores = scratch + <usize>thread * (<usize>group << 6);
  const largest = f64x2.splat(<f64>((1 << bits) - 1));
  const step = max(group, 1);
  const segment = step <= segmentColumns ? segmentColumns - segmentColumns % step : step;
  for (let taken = 0; limit == 0 || taken < limit; taken++) {
    if (aborted(control)) {
      fail(control, n);
      return 0;
    }
    const index = takeTicket(control);
    const firstRow = index * stripRows;
    if (firstRow >= rows) return 0;
    const height = min(stripRows, rows - firstRow);
    const strip = strips + <usize>index * <usize>n * columnBytes;
    const loss = losses + (<usize>firstRow << 3);
    const rowsAt = <usize>firstRow * <usize>n;
    const gridScales = grids + <usize>index * <usize>groups * gridBytes;
    const gridDivisors = gridScales + <usize>groups * 64;
    const gridZeros = gridDivisors + <usize>groups * 128;
    for (let start = first; start < last; ) {
      const end = group == 0 ? min(start + blockSize, last) : blockEnd(start, blockSize, last, group, true);
      for (let from = start; from < end; ) {
        const to = min(from + segment, end);
        for (let i = from; i < to; i += step) {
          for (let j = i; j < i + step; j++) subtractColumn32(strip + <usize>j * columnBytes, strip + <usize>from * columnBytes, factorAt(packed, from, j), i - from);
          if (group != 0) chooseGroup(strip, i, group, pruned, packed, scores, mask + rowsAt, n, height);
          for (let j = i; j < i + step; j++) {
            const column = strip + <usize>j * columnBytes;
            subtractColumn32(column, strip + <usize>i * columnBytes, factorAt(packed, i, j), j - i);
            const pivot = load<f32>(factorAt(packed, j, j));
            const place = rowsAt + <usize>load<i32>(order + (<usize>j << 2));
            if (grids == 0) settlePruned(column, pivot, mask + place, values + (place << 2), n, height, loss);
            else {
              const grid = load<i32>(columnGroup + (<usize>j << 2)) * stripRows;
              settleColumn(
                column, pivot, gridScales + (<usize>grid << 2), gridDivisors + (<usize>grid << 3), gridZeros + (<usize>grid << 3), largest,
                mask + place, codes + place, n, height, loss,
              );
            }
          }
        }
        propagate(strip, packed, from, to, to, end);
        from = to;
      }
      propagate(strip, packed, start, end, end, n);
      start = end;
    }
  }
  return 1;
}

/** Address of U[row, column] in the packed factor; rows are 16 bytes apart. */
// @ts-ignore: decorator
@inline
function factorAt(packed: usize, row: i32, column: i32): usize {
  return packed + quadOffset(column >> 2) + (<usize>row << 4) + (<usize>(column & 3) << 2);
}

/** Chooses the mask of `group` columns from position `from` on, sixteen rows: an entry is pruned when fewer than `pruned` others come before it. */
function chooseGroup(strip: usize, from: i32, group: i32, pruned: i32, packed: usize, scores: usize, mask: usize, n: i32, height: i32): void {
  for (let c = 0; c < group; c++) {
    const pivots = v128.load_splat<f32>(factorAt(packed, from + c, from + c));
    const column = strip + <usize>(from + c) * columnBytes;
    const target = scores + (<usize>c << 6);
    for (let r: usize = 0; r < 64; r += 16) v128.store(target + r, f32x4.div(f32x4.abs(v128.load(column + r)), pivots));
  }
  const limit = i32x4.splat(pruned);
  for (let c = 0; c < group; c++) {
    const own = scores + (<usize>c << 6);
    for (let r = 0; r < stripRows; r += 4) {
      const lane = <usize>r << 2;
      const score = v128.load(own + lane);
      let before = i32x4.splat(0);
      for (let o = 0; o < c; o++) before = i32x4.sub(before, f32x4.le(v128.load(scores + (<usize>o << 6) + lane), score));
      for (let o = c + 1; o < group; o++) before = i32x4.sub(before, f32x4.lt(v128.load(scores + (<usize>o << 6) + lane), score));
      const kept = i32x4.ge_s(before, limit);
      const target = mask + <usize>r * <usize>n + <usize>(from + c);
      if (r < height) store<u8>(target, i32x4.extract_lane(kept, 0) & 1);
      if (r + 1 < height) store<u8>(target + <usize>n, i32x4.extract_lane(kept, 1) & 1);
      if (r + 2 < height) store<u8>(target + 2 * <usize>n, i32x4.extract_lane(kept, 2) & 1);
      if (r + 3 < height) store<u8>(target + 3 * <usize>n, i32x4.extract_lane(kept, 3) & 1);
    }
  }
}

/** Settles a column of sixteen weights: kept ones as they are, pruned ones at zero. Writes the values, adds e² to the losses and leaves e in place of the weights. */
function settlePruned(column: usize, pivot: f32, mask: usize, values: usize, stride: usize, height: i32, loss: usize): void {
  const pivots = f32x4.splat(pivot);
  const valueStride = stride << 2;
  for (let r = 0; r < stripRows; r += 4) {
    const w = v128.load(column + (<usize>r << 2));
    const q = v128.and(w, keptLanes(mask, stride, r, height));
    const e = f32x4.div(f32x4.sub(w, q), pivots);
    v128.store(column + (<usize>r << 2), e);
    const sums = loss + (<usize>r << 3);
    const e0 = f64x2.promote_low_f32x4(e);
    const e1 = f64x2.promote_low_f32x4(v128.shuffle<f32>(e, e, 2, 3, 2, 3));
    v128.store(sums, f64x2.add(v128.load(sums), f64x2.mul(e0, e0)));
    v128.store(sums, f64x2.add(v128.load(sums, 16), f64x2.mul(e1, e1)), 16);
    const target = values + <usize>r * valueStride;
    if (r < height) store<f32>(target, f32x4.extract_lane(q, 0));
    if (r + 1 < height) store<f32>(target + valueStride, f32x4.extract_lane(q, 1));
    if (r + 2 < height) store<f32>(target + 2 * valueStride, f32x4.extract_lane(q, 2));
    if (r + 3 < height) store<f32>(target + 3 * valueStride, f32x4.extract_lane(q, 3));
  }
}
