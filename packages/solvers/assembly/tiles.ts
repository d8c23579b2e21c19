/*
 * Register tiles of C −= A·B. Products are subtracted one at a time in order of k, starting from what C holds: however a matrix is cut
 * into tiles, blocks and threads, every element sees the same sequence of operations and ends with the same bits.
 */

/**
 * C[4, 4] −= A[4, depth] · B[depth, 4] in float64. `ldc` and `lda` are row strides in bytes, B is packed [depth][4].
 * Eight accumulators, two vectors of B and one broadcast fill the sixteen registers of a 128-bit machine without spilling.
 */
export function subtractTile64(c: usize, ldc: usize, a: usize, lda: usize, b: usize, depth: i32): void {
  const c1 = c + ldc;
  const c2 = c1 + ldc;
  const c3 = c2 + ldc;
  let s00 = v128.load(c);
  let s01 = v128.load(c, 16);
  let s10 = v128.load(c1);
  let s11 = v128.load(c1, 16);
  let s20 = v128.load(c2);
  let s21 = v128.load(c2, 16);
  let s30 = v128.load(c3);
  let s31 = v128.load(c3, 16);
  let a0 = a;
  let a1 = a + lda;
  let a2 = a1 + lda;
  let a3 = a2 + lda;
  const end = b + ((<usize>depth) << 5);
  while (b < end) {
    const b0 = v128.load(b);
    const b1 = v128.load(b, 16);
    let x = v128.load_splat<f64>(a0);
    s00 = f64x2.sub(s00, f64x2.mul(x, b0));
    s01 = f64x2.sub(s01, f64x2.mul(x, b1));
    x = v128.load_splat<f64>(a1);
    s10 = f64x2.sub(s10, f64x2.mul(x, b0));
    s11 = f64x2.sub(s11, f64x2.mul(x, b1));
    x = v128.load_splat<f64>(a2);
    s20 = f64x2.sub(s20, f64x2.mul(x, b0));
    s21 = f64x2.sub(s21, f64x2.mul(x, b1));
    x = v128.load_splat<f64>(a3);
    s30 = f64x2.sub(s30, f64x2.mul(x, b0));
    s31 = f64x2.sub(s31, f64x2.mul(x, b1));
    a0 += 8;
    a1 += 8;
    a2 += 8;
    a3 += 8;
    b += 32;
  }
  v128.store(c, s00);
  v128.store(c, s01, 16);
  v128.store(c1, s10);
  v128.store(c1, s11, 16);
  v128.store(c2, s20);
  v128.store(c2, s21, 16);
  v128.store(c3, s30);
  v128.store(c3, s31, 16);
}

/** C[1, 4] −= A[1, depth] · B[depth, 4], as `subtractTile64`, for the rows that do not fill a tile. */
export function subtractRow64(c: usize, a: usize, b: usize, depth: i32): void {
  let s0 = v128.load(c);
  let s1 = v128.load(c, 16);
  const end = b + ((<usize>depth) << 5);
  while (b < end) {
    const x = v128.load_splat<f64>(a);
    s0 = f64x2.sub(s0, f64x2.mul(x, v128.load(b)));
    s1 = f64x2.sub(s1, f64x2.mul(x, v128.load(b, 16)));
    a += 8;
    b += 32;
  }
  v128.store(c, s0);
  v128.store(c, s1, 16);
}

/** Bytes of one column of a strip: sixteen rows of float32, one cache line. */
export const columnBytes: usize = 64;

/**
 * C[8 rows, 4 columns] −= E[8 rows, depth] · U[depth, 4] in float32. C and E are columns of a strip, 64 bytes apart, rows contiguous;
 * U is packed [depth][4].
 */
export function subtractTile32(c: usize, e: usize, u: usize, depth: i32): void {
  let s00 = v128.load(c);
  let s01 = v128.load(c, 16);
  let s10 = v128.load(c, 64);
  let s11 = v128.load(c, 80);
  let s20 = v128.load(c, 128);
  let s21 = v128.load(c, 144);
  let s30 = v128.load(c, 192);
  let s31 = v128.load(c, 208);
  const end = u + ((<usize>depth) << 4);
  while (u < end) {
    const e0 = v128.load(e);
    const e1 = v128.load(e, 16);
    let x = v128.load_splat<f32>(u);
    s00 = f32x4.sub(s00, f32x4.mul(x, e0));
    s01 = f32x4.sub(s01, f32x4.mul(x, e1));
    x = v128.load_splat<f32>(u, 4);
    s10 = f32x4.sub(s10, f32x4.mul(x, e0));
    s11 = f32x4.sub(s11, f32x4.mul(x, e1));
    x = v128.load_splat<f32>(u, 8);
    s20 = f32x4.sub(s20, f32x4.mul(x, e0));
    s21 = f32x4.sub(s21, f32x4.mul(x, e1));
    x = v128.load_splat<f32>(u, 12);
    s30 = f32x4.sub(s30, f32x4.mul(x, e0));
    s31 = f32x4.sub(s31, f32x4.mul(x, e1));
    u += 16;
    e += columnBytes;
  }
  v128.store(c, s00);
  v128.store(c, s01, 16);
  v128.store(c, s10, 64);
  v128.store(c, s11, 80);
  v128.store(c, s20, 128);
  v128.store(c, s21, 144);
  v128.store(c, s30, 192);
  v128.store(c, s31, 208);
}

/** C[16 rows, 1 column] −= E[16 rows, depth] · u[depth], where consecutive u are 16 bytes apart. */
export function subtractColumn32(c: usize, e: usize, u: usize, depth: i32): void {
  let s0 = v128.load(c);
  let s1 = v128.load(c, 16);
  let s2 = v128.load(c, 32);
  let s3 = v128.load(c, 48);
  const end = u + ((<usize>depth) << 4);
  while (u < end) {
    const x = v128.load_splat<f32>(u);
    s0 = f32x4.sub(s0, f32x4.mul(x, v128.load(e)));
    s1 = f32x4.sub(s1, f32x4.mul(x, v128.load(e, 16)));
    s2 = f32x4.sub(s2, f32x4.mul(x, v128.load(e, 32)));
    s3 = f32x4.sub(s3, f32x4.mul(x, v128.load(e, 48)));
    u += 16;
    e += columnBytes;
  }
  v128.store(c, s0);
  v128.store(c, s1, 16);
  v128.store(c, s2, 32);
  v128.store(c, s3, 48);
}
