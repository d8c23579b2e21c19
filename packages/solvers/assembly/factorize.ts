/*
 * U with H⁻¹ = UᵀU from one Cholesky factorization. With J the reversal of rows and columns, J·H·J = L·Lᵀ gives H = R·Rᵀ for the upper
 * R = J·L·J, hence U = R⁻¹ = J·L⁻¹·J. That is n³/3 + n³/3 operations where inverting H and factorizing the inverse takes n³.
 * All of it is float64; what leaves is rounded to float32 once.
 */
import { aborted, barrier, fail, failed, resetTickets, takeTicket } from './control';
import { subtractRow64, subtractTile64 } from './tiles';

/** Columns of a Cholesky panel. */
const panelWidth: i32 = 64;
/** Depth of a product that stays in the first-level cache: 4 × 256 float64 on either side. */
const depthChunk: i32 = 256;
/** Rows that a thread takes at a time. */
const rowChunk: i32 = 16;
/** Columns of the inverse that a thread takes at a time. */
const inverseWidth: i32 = 32;
/** Rows of the inverse that are solved between two products. */
const inverseRows: i32 = 32;

/**
 * A = L·Lᵀ in place, lower triangle, left-looking by panels of 64 columns, for the panels that start in [begin, end).
 * `a` [n, stride] with stride in bytes, a multiple of 32 and at least 8·n rounded up to whole quads; `panel` 64·n and `diagonal` 64·64 + 64
 * float64 of shared scratch. On a pivot that is not positive `fail` gets its index; when asked to stop, n.
 */
export function cholesky(
  a: usize, n: i32, stride: usize, begin: i32, end: i32, panel: usize, diagonal: usize, control: usize, thread: i32, threads: i32,
): void {
  for (let j = begin; j < end; j += panelWidth) {
    const width = min(panelWidth, n - j);
    const quads = (width + 3) >> 2;
    const corner = a + <usize>j * stride + (<usize>j << 3);
    // 1. Rows j … j+width of the finished columns, four by four.
    for (let q = thread; q < quads; q += threads) {
      packRows(panel + <usize>q * <usize>j * 32, a + <usize>(j + 4 * q) * stride, stride, min(4, width - 4 * q), j);
    }
    if (thread == 0) resetTickets(control);
    barrier(control, threads);
    // 2. The diagonal block minus what the finished columns contribute, then its own factor.
    for (let r = thread * 4; r < width; r += threads * 4) subtractPanel(a, stride, j, j + r, min(4, width - r), panel, quads);
    barrier(control, threads);
    if (thread == 0) {
      const pivot = factorDiagonal(corner, stride, width, diagonal);
      if (pivot >= 0) fail(control, j + pivot);
      else if (aborted(control)) fail(control, n);
    }
    barrier(control, threads);
    if (failed(control)) return;
    // 3. The rows below: the same products, then the triangular solve.
    for (;;) {
      const first = j + width + takeTicket(control) * rowChunk;
      if (first >= n) break;
      const rows = min(rowChunk, n - first);
      subtractPanel(a, stride, j, first, rows, panel, quads);
      for (let r = 0; r < rows; r++) solveRow(a + <usize>(first + r) * stride + (<usize>j << 3), width, diagonal);
    }
    barrier(control, threads);
  }
}

/** Rows of a matrix, up to four, as [depth][4]. */
function packRows(to: usize, from: usize, stride: usize, rows: i32, depth: i32): void {
  for (let r = 0; r < 4; r++) {
    let target = to + (<usize>r << 3);
    if (r < rows) {
      let source = from + <usize>r * stride;
      for (let k = 0; k < depth; k++) {
        store<f64>(target, load<f64>(source));
        source += 8;
        target += 32;
      }
    } else {
      for (let k = 0; k < depth; k++) {
        store<f64>(target, 0);
        target += 32;
      }
    }
  }
}

/** A[first … first+rows, j … j+4·quads] −= A[first … first+rows, 0 … j] · panel. */
function subtractPanel(a: usize, stride: usize, j: i32, first: i32, rows: i32, panel: usize, quads: i32): void {
  for (let k = 0; k < j; k += depthChunk) {
    const depth = min(depthChunk, j - k);
    let r = 0;
    for (; r + 4 <= rows; r += 4) {
      const row = a + <usize>(first + r) * stride;
      for (let q = 0; q < quads; q++) {
        subtractTile64(row + (<usize>(j + 4 * q) << 3), stride, row + (<usize>k << 3), stride, panel + (<usize>q * <usize>j + <usize>k) * 32, depth);
      }
    }
    for (; r < rows; r++) {
      const row = a + <usize>(first + r) * stride;
      for (let q = 0; q < quads; q++) {
        subtractRow64(row + (<usize>(j + 4 * q) << 3), row + (<usize>k << 3), panel + (<usize>q * <usize>j + <usize>k) * 32, depth);
      }
    }
  }
}

/**
 * Factorizes a block in place and writes its transpose without the diagonal to `diagonal` [64][64], the diagonal after it. Returns the index of
 * a pivot that is not positive, or −1.
 */
function factorDiagonal(block: usize, stride: usize, width: i32, diagonal: usize): i32 {
  const pivots = diagonal + panelWidth * panelWidth * 8;
  memory.fill(diagonal, 0, panelWidth * panelWidth * 8);
  for (let i = 0; i < width; i++) {
    const row = block + <usize>i * stride;
    for (let c = 0; c <= i; c++) {
      const other = block + <usize>c * stride;
      let sum = load<f64>(row + (<usize>c << 3));
      for (let d = 0; d < c; d++) sum -= load<f64>(row + (<usize>d << 3)) * load<f64>(other + (<usize>d << 3));
      if (c < i) {
        sum /= load<f64>(other + (<usize>c << 3));
        store<f64>(diagonal + (<usize>(c * panelWidth + i) << 3), sum);
      } else {
        if (!(sum > 0) || sum == Infinity) return i;
        sum = sqrt(sum);
        store<f64>(pivots + (<usize>i << 3), sum);
      }
      store<f64>(row + (<usize>c << 3), sum);
    }
  }
  return -1;
}

/** x ← x · L⁻ᵀ for one row x of `width` entries. */
function solveRow(x: usize, width: i32, diagonal: usize): void {
  const pivots = diagonal + panelWidth * panelWidth * 8;
  const end = x + (<usize>((width + 1) & ~1) << 3);
  for (let c = 0; c < width; c++) {
    const at = x + (<usize>c << 3);
    const value = load<f64>(at) / load<f64>(pivots + (<usize>c << 3));
    store<f64>(at, value);
    const factor = f64x2.splat(value);
    // From the pair that holds c+1; where that pair holds c too, the zero diagonal of the transpose leaves it alone.
    const pair = <usize>((c + 1) & ~1) << 3;
    let source = diagonal + (<usize>(c * panelWidth) << 3) + pair;
    for (let target = x + pair; target < end; target += 16) {
      v128.store(target, f64x2.sub(v128.load(target), f64x2.mul(factor, v128.load(source))));
      source += 16;
    }
  }
}

/**
 * U = J·L⁻¹·J as float32 [n, n] row-major into `upper`, whose lower triangle must be zero. Threads take bands of 32 columns of L⁻¹ and solve
 * L·m = e for each; at most `limit` bands a call when it is positive, so that a caller on one thread can look up in between. `scratch` holds
 * 32·n float64 for each thread. Returns 1 while bands are left.
 */
export function invert(
  l: usize, n: i32, stride: usize, upper: usize, scratch: usize, limit: i32, control: usize, thread: i32, _threads: i32,
): i32 {
  const band = scratch + <usize>thread * <usize>(n + 3) * inverseWidth * 8;
  for (let taken = 0; limit == 0 || taken < limit; taken++) {
    if (aborted(control)) {
      fail(control, n);
      return 0;
    }
    // The first columns are the longest, so threads end at about the same time.
    const first = takeTicket(control) * inverseWidth;
    if (first >= n) return 0;
    solveBand(l, n, stride, first, min(inverseWidth, n - first), band);
    storeBand(band, n, first, min(inverseWidth, n - first), upper);
  }
  return 1;
}

/** Columns first … first+width of L⁻¹, rows from `first` on, as quads [quad][row][4]. */
function solveBand(l: usize, n: i32, stride: usize, first: i32, width: i32, band: usize): void {
  const rows = n - first;
  const quads = (width + 3) >> 2;
  const quadBytes = <usize>rows * 32;
  memory.fill(band, 0, <usize>quads * quadBytes);
  for (let c = 0; c < width; c++) store<f64>(band + <usize>(c >> 2) * quadBytes + <usize>c * 32 + (<usize>(c & 3) << 3), 1);
  for (let i = 0; i < rows; i += inverseRows) {
    const height = min(inverseRows, rows - i);
    const row = l + <usize>(first + i) * stride + (<usize>first << 3);
    for (let k = 0; k < i; k += depthChunk) {
      const depth = min(depthChunk, i - k);
      let r = 0;
      for (; r + 4 <= height; r += 4) {
        for (let q = 0; q < quads; q++) {
          const quad = band + <usize>q * quadBytes;
          subtractTile64(quad + <usize>(i + r) * 32, 32, row + <usize>r * stride + (<usize>k << 3), stride, quad + <usize>k * 32, depth);
        }
      }
      for (; r < height; r++) {
        for (let q = 0; q < quads; q++) {
          const quad = band + <usize>q * quadBytes;
          subtractRow64(quad + <usize>(i + r) * 32, row + <usize>r * stride + (<usize>k << 3), quad + <usize>k * 32, depth);
        }
      }
    }
    for (let r = 0; r < height; r++) {
      const entries = row + <usize>r * stride + (<usize>i << 3);
      const pivot = f64x2.splat(load<f64>(entries + (<usize>r << 3)));
      for (let q = 0; q < quads; q++) {
        const quad = band + <usize>q * quadBytes;
        const x = quad + <usize>(i + r) * 32;
        subtractRow64(x, entries, quad + <usize>i * 32, r);
        v128.store(x, f64x2.div(v128.load(x), pivot));
        v128.store(x, f64x2.div(v128.load(x, 16), pivot), 16);
      }
    }
  }
}

/** Writes a band of L⁻¹, rows and columns reversed. */
function storeBand(band: usize, n: i32, first: i32, width: i32, upper: usize): void {
  const rows = n - first;
  for (let q = 0; q * 4 < width; q++) {
    const columns = min(4, width - 4 * q);
    for (let i = 4 * q; i < rows; i++) {
      const source = band + (<usize>q * <usize>rows + <usize>i) * 32;
      // Row n−1−(first+i), column n−1−(first+4q+c).
      const target = upper + ((<usize>(rows - 1 - i) * <usize>n + <usize>(rows - 1 - 4 * q)) << 2);
      for (let c = 0; c < columns && 4 * q + c <= i; c++) {
        store<f32>(target - (<usize>c << 2), <f32>load<f64>(source + (<usize>c << 3)));
      }
    }
  }
}
