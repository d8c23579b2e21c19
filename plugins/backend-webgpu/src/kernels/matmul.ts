import { mergedRows, type DeviceTraits, type Dispatch, type MatMulRequest, type Operand, type Program, type QuantizedMatMulRequest } from '@pare/executor';
import { activation, matmulCodes, matmulFinish, matmulSkinny, matmulSmall, matmulTiled } from './kernels.gen.js';
import { launches } from './launch.js';
import { kernel, uniformWords, type ShaderValues } from './shader.js';
import { boxes, windowOf, type Box, type Reach } from './windows.js';

/** How the tiled product is cut: values of a workgroup, depth of a step, values of an invocation. */
export interface TiledVariant {
  readonly tileM: number;
  readonly tileN: number;
  readonly tileK: number;
  readonly rows: number;
  readonly columns: number;
  /** 2 to load a step's tiles while the last one's are read, with one barrier a step; 1 takes half the workgroup memory. */
  readonly buffers: 1 | 2;
}

/** A variant's name: `128x128x8-8x8-double`. */
export function variantName(variant: TiledVariant): string {
  const { tileM, tileN, tileK, rows, columns, buffers } = variant;
  return `${String(tileM)}x${String(tileN)}x${String(tileK)}-${String(rows)}x${String(columns)}-${buffers === 2 ? 'double' : 'single'}`;
}

function tiled(tileM: number, tileN: number, tileK: number, rows: number, columns: number, buffers: 1 | 2): TiledVariant {
  return { tileM, tileN, tileK, rows, columns, buffers };
}

/** All cuts of the tiled kernel, those that are chosen from and those that only `bench/matmul.mjs` compares them with. */
export const tiledVariants: readonly TiledVariant[] = [
  tiled(128, 128, 8, 8, 8, 2),
  tiled(128, 128, 16, 8, 8, 1),
  tiled(128, 128, 16, 8, 8, 2),
  tiled(128, 64, 16, 8, 8, 1),
  tiled(256, 128, 8, 16, 8, 2),
  tiled(64, 64, 16, 8, 4, 2),
  tiled(32, 32, 16, 4, 4, 2),
];

/** What is chosen from, with its speed on large products relative to the first, as measured on an H100 through Vulkan. */
const choices: readonly { readonly variant: TiledVariant; readonly speed: number }[] = [
  { variant: tiled(128, 128, 16, 8, 8, 1), speed: 1 },
  { variant: tiled(64, 64, 16, 8, 4, 2), speed: 0.89 },
  { variant: tiled(32, 32, 16, 4, 4, 2), speed: 0.67 },
];

/** Most multiplications of a product that the kernel without specialisation computes. */
const smallProduct = 2 ** 18;
/** Workgroups that keep a large device busy. */
const busyWorkgroups = 256;
/** The same for few rows times weights by rows, where a workgroup has little of b on its way at once: 44 µs a product of one row with 4096² weights on an H100, 66 with 256. */
const busyNarrowWorkgroups = 512;
/** Least depth of a slice when k is split. */
const leastSlice = 256;
/** Most rows of the product that reads b once. */
const skinnyRows = 16;
const accumulate = 1;
const finish = 2;

const activations: Readonly<Record<NonNullable<MatMulRequest['activation']>, number>> = { relu: 1, gelu: 2, 'gelu-tanh': 3, silu: 4 };

/** Bytes of workgroup memory that a variant takes. */
export function tiledMemory({ tileM, tileN, tileK, buffers }: TiledVariant): number {
  return buffers * tileK * (tileM + tileN) * 4;
}

export interface MatMulChoice {
  /** Takes this kernel, or this variant of the tiled one, whatever the shape; the one for few rows has at most 16. */
  readonly kernel?: 'small' | 'skinny' | TiledVariant | undefined;
  /** Takes this many slices of k. */
  readonly splits?: number | undefined;
}

/** y = activation(alpha · op(a)·op(b) + beta · c); see `MatMulRequest`. */
export function matMul(request: MatMulRequest, traits: DeviceTraits, choice: MatMulChoice = {}): Program {
  const product = mergedRows(request);
  const { n, k, bBatchStride, transposeB } = product;
  const b: Reach = {
    buffer: 'b',
    access: 'read',
    elementBytes: 4,
    strides: { batch: 4 * bBatchStride, n: transposeB ? 4 * k : 4, k: transposeB ? 4 : 4 * n },
  };
  return multiply(product, { a: 'a', b, c: 'c' }, traits, choice);
}

/** y = x · dequantize(codes)ᵀ + bias, with codes that become numbers inside the product; see `QuantizedMatMulRequest`. */
export function quantizedMatMul(request: QuantizedMatMulRequest, traits: DeviceTraits, choice: MatMulChoice = {}): Program {
  const { m, n, k, bits, blockSize, zeros, bias } = request;
  const blocks = Math.ceil(k / blockSize);
  const rowBytes = (blocks * blockSize * bits) / 8;
  const zeroRow = Math.ceil((blocks * bits) / 8);
  const row = (buffer: string, bytes: number): Reach => ({ buffer, access: 'read', elementBytes: bytes, strides: { n: bytes } });
  const codes: Codes = {
    bits,
    blockSize,
    rowBytes,
    scaleRow: blocks,
    zeroRow,
    scales: row('scales', 4 * blocks),
    zeros: zeros ? row('zeros', zeroRow) : undefined,
  };
  const product: MatMulRequest = {
    ...{ m, n, k, batch: 1, aBatchStride: 0, bBatchStride: 0, transposeA: false, transposeB: true, alpha: 1 },
    addend: bias ? { beta: 1, rowStride: 0, columnStride: 1, batchStride: 0 } : undefined,
  };
  // Cuts along k fall between blocks, and codes are read by words.
  const b: Reach = { buffer: 'codes', access: 'read', elementBytes: 1, strides: { n: rowBytes, k: bits / 8 } };
  return multiply(product, { a: 'x', b, c: 'bias', codes }, traits, choice);
}

/** A second operand of packed codes. */
interface Codes {
  readonly bits: number;
  readonly blockSize: number;
  /** Bytes of a row of codes. */
  readonly rowBytes: number;
  /** Scales of a row. */
  readonly scaleRow: number;
  /** Bytes of a row of zeros. */
  readonly zeroRow: number;
  readonly scales: Reach;
  readonly zeros: Reach | undefined;
}

/** Buffers of a product, and where it lies in them when that is not at their beginning. */
interface Operands {
  readonly a: string;
  readonly b: Reach;
  readonly c: string;
  readonly codes?: Codes | undefined;
  /** Elements before the first of a, and between its lines. */
  readonly aFirst?: number | undefined;
  readonly aRow?: number | undefined;
  /** Elements before the first of y. */
  readonly yFirst?: number | undefined;
  /** Adds to what y holds. */
  readonly accumulate?: boolean | undefined;
}

/** y [m, n] −= aᵀ·b over k lines: a's lines start at element `aFirst` and are `aRow` apart, b is dense [k, n], y dense from `yFirst` on. */
export function subtractProduct(
  { m, n, k, aFirst, aRow, yFirst }: { readonly m: number; readonly n: number; readonly k: number; readonly aFirst: number; readonly aRow: number; readonly yFirst: number },
  buffers: { readonly a: string; readonly b: string },
  traits: DeviceTraits,
): Program {
  const product: MatMulRequest = { m, n, k, batch: 1, aBatchStride: 0, bBatchStride: 0, transposeA: true, transposeB: false, alpha: -1 };
  const b: Reach = { buffer: buffers.b, access: 'read', elementBytes: 4, strides: { n: 4, k: 4 * n } };
  return multiply(product, { a: buffers.a, b, c: 'c', aFirst, aRow, yFirst, accumulate: true }, traits, {});
}

function multiply(product: MatMulRequest, operands: Operands, traits: DeviceTraits, choice: MatMulChoice): Program {
  const { m, n, k, batch, aBatchStride, transposeA, addend } = product;
  const { b, codes, aRow = transposeA ? m : k, accumulate: onto = false } = operands;
  const bytes = (elements: number | undefined): number | undefined => (elements === undefined ? undefined : 4 * elements);
  const a: Reach = {
    buffer: operands.a,
    access: 'read',
    elementBytes: 4,
    first: bytes(operands.aFirst),
    strides: { batch: 4 * aBatchStride, m: transposeA ? 4 : 4 * aRow, k: transposeA ? 4 * aRow : 4 },
  };
  const y: Reach = { buffer: 'y', access: 'write', elementBytes: 4, first: bytes(operands.yFirst), strides: { batch: 4 * m * n, m: 4 * n, n: 4 } };
  const c: Reach | undefined = addend && {
    buffer: operands.c,
    access: 'read',
    elementBytes: 4,
    strides: { batch: 4 * addend.batchStride, m: 4 * addend.rowStride, n: 4 * addend.columnStride },
  };
  const axes = {
    batch: { size: batch, multiple: 1 },
    m: { size: m, multiple: 64 },
    n: { size: n, multiple: 64 },
    // Parts of one sum follow each other, so that every value is finished before the next is begun.
    k: { size: Math.max(k, 1), multiple: Math.max(64, codes?.blockSize ?? 0) },
  };
  const reaches = [...(k === 0 ? [] : [a, b]), ...(codes === undefined || k === 0 ? [] : [codes.scales]), ...(codes?.zeros === undefined || k === 0 ? [] : [codes.zeros]), ...(c === undefined ? [] : [c]), y];
  const dispatches: Dispatch[] = [];
  let partialBytes = 0;
  for (const box of boxes(axes, reaches, traits)) {
    const part = new Part(product, box, { a, b, c, y, aRow }, codes, onto, traits);
    if (k === 0) dispatches.push(...part.sum(0));
    else {
      const { chosen, splits } = choose(product, box, codes !== undefined, traits, choice);
      if (chosen === 'small') dispatches.push(...part.small());
      else dispatches.push(...(chosen === 'skinny' ? part.skinny(splits) : part.tiled(chosen, splits)));
      if (splits > 1) {
        dispatches.push(...part.sum(splits));
        partialBytes = Math.max(partialBytes, splits * part.count * 4);
      }
    }
  }
  return { temporaries: partialBytes === 0 ? [] : [{ name: 'partial', bytes: partialBytes }], dispatches };
}

interface Chosen {
  readonly chosen: 'small' | 'skinny' | TiledVariant;
  readonly splits: number;
}

/** The kernel for a part: the one that promises most of a device's speed, given how many workgroups it makes and how much of its tiles is padding. */
function choose(product: MatMulRequest, box: Box, quantized: boolean, traits: DeviceTraits, choice: MatMulChoice): Chosen {
  const [batch, m, n, k] = [box.size['batch']!, box.size['m']!, box.size['n']!, box.size['k']!];
  const forced = choice.kernel;
  const small = !quantized && forced === undefined && choice.splits === undefined && batch * m * n * k <= smallProduct;
  if (forced === 'small' || small) return { chosen: 'small', splits: 1 };
  const most = Math.max(1, Math.floor(traits.maximumBinding / (batch * m * n * 4)));
  const slices = (groups: number, busy = busyWorkgroups): number => choice.splits ?? Math.max(1, Math.min(Math.floor(busy / groups), Math.floor(k / leastSlice), most));
  if (forced === 'skinny' || (forced === undefined && m <= skinnyRows)) {
    const splits = product.transposeB ? slices(batch * Math.ceil(n / 16)) : slices(batch * Math.ceil(n / 128), busyNarrowWorkgroups);
    return { chosen: 'skinny', splits };
  }
  const tilesOf = ({ tileM, tileN }: TiledVariant): number => Math.ceil(m / tileM) * Math.ceil(n / tileN);
  if (forced !== undefined) return { chosen: forced, splits: slices(batch * tilesOf(forced)) };
  let best: Chosen = { chosen: choices[choices.length - 1]!.variant, splits: 1 };
  let highest = 0;
  for (const { variant, speed } of choices) {
    if (!fits(variant, traits)) continue;
    const tiles = tilesOf(variant);
    const splits = slices(tiles * batch);
    const useful = (m * n) / (tiles * variant.tileM * variant.tileN);
    const value = speed * useful * Math.min(1, (tiles * batch * splits) / busyWorkgroups);
    if (value > highest) {
      highest = value;
      best = { chosen: variant, splits };
    }
  }
  return best;
}

/** True where a device has the invocations and the memory for a variant. */
export function fits(variant: TiledVariant, traits: DeviceTraits): boolean {
  const invocations = (variant.tileM / variant.rows) * (variant.tileN / variant.columns);
  return invocations <= traits.maximumInvocations && tiledMemory(variant) <= traits.workgroupMemory;
}

/** One box of a product, ready to be launched. */
class Part {
  readonly count: number;
  readonly #product: MatMulRequest;
  readonly #box: Box;
  readonly #traits: DeviceTraits;
  readonly #a: Window;
  readonly #b: Window;
  readonly #codes: Codes | undefined;
  /** Elements between the lines of a as they are stored. */
  readonly #aRow: number;
  readonly #c: Window | undefined;
  readonly #y: Window;
  readonly #flags: number;

  constructor(product: MatMulRequest, box: Box, reaches: { a: Reach; b: Reach; c: Reach | undefined; y: Reach; aRow: number }, codes: Codes | undefined, onto: boolean, traits: DeviceTraits) {
    this.#product = product;
    this.#box = box;
    this.#traits = traits;
    const at = (reach: Reach): Window => {
      const { operand, base } = windowOf(reach, box, traits);
      return { operand, base: base / 4 };
    };
    this.#a = at(reaches.a);
    this.#b = at(reaches.b);
    this.#codes = codes;
    this.#aRow = reaches.aRow;
    this.#c = reaches.c && at(reaches.c);
    this.#y = at(reaches.y);
    this.count = box.size['batch']! * box.size['m']! * box.size['n']!;
    const { k: start } = box.start as { k: number };
    const { k: extent } = box.size as { k: number };
    const first = start === 0 && !onto;
    const last = product.k === 0 || start + extent === product.k;
    this.#flags = (first ? 0 : accumulate) | (last ? finish : 0);
  }

  /** Dispatches of the kernel that is the same for all products. */
  small(): Dispatch[] {
    const { m, n, k, batch } = this.#sizes();
    const product = this.#product;
    const { transposeA, transposeB, addend } = product;
    const source = kernel('matmul-small', matmulSmall, { ADDEND: addend !== undefined, Y_BINDING: addend === undefined ? 2 : 3 }, [activation]);
    const [tilesM, tilesN] = [Math.ceil(m / 32), Math.ceil(n / 32)];
    const groups = tilesM * tilesN * batch;
    return launches(groups, this.#traits).map(({ first, workgroups }) => ({
      kernel: source,
      operands: [this.#a.operand, this.#b.operand, ...(this.#c === undefined ? [] : [this.#c.operand]), this.#y.operand],
      uniforms: uniformWords([
        ...[first, groups, m, n, k, tilesM, tilesN, this.#a.base, transposeA ? 1 : this.#aRow, transposeA ? this.#aRow : 1, product.aBatchStride],
        ...[this.#b.base, transposeB ? 1 : product.n, transposeB ? product.k : 1, product.bBatchStride],
        ...[this.#c?.base ?? 0, addend?.rowStride ?? 0, addend?.columnStride ?? 0, addend?.batchStride ?? 0],
        ...[this.#y.base, product.n, product.m * product.n, this.#flags, this.#activation(), { float: product.alpha }, { float: addend?.beta ?? 0 }],
      ]),
      workgroups,
    }));
  }

  /** Dispatches of the tiled kernel; with `splits` > 1 they write partial products. */
  tiled(variant: TiledVariant, splits: number): Dispatch[] {
    const { m, n, k, batch } = this.#sizes();
    const { transposeA, transposeB, addend } = this.#product;
    const { tileM, tileN, tileK, rows, columns, buffers } = variant;
    const whole = splits === 1;
    const aRow = this.#aRow;
    const second = this.#second();
    const target = this.#target(splits);
    const blocks = ((tileM + tileN) * tileK) / 16;
    const threads = (tileM / rows) * (tileN / columns);
    const vectors = tileM * tileN < 128 * 128;
    const source = kernel(
      `matmul-tiled-${variantName(variant)}`,
      matmulTiled,
      {
        ...{ TILE_M: tileM, TILE_N: tileN, TILE_K: tileK, ROWS: rows, COLUMNS: columns, BUFFERS: buffers, SINGLE: buffers === 1 },
        ...{ ROW_QUADS: rows / 4, COLUMN_QUADS: columns / 4, BLOCKS: Math.ceil(blocks / threads) },
        ...{ TRANSPOSE_A: transposeA, TRANSPOSE_B: transposeB, ADDEND: whole && addend !== undefined, Y_BINDING: 1 + second.operands.length + Number(whole && addend !== undefined) },
        ...second.flags,
        // Loads one by one are faster for large tiles (33.8 against 31.2 TFLOP/s for 4096³ on an H100), whole vectors for small ones (20.7 against 16.3).
        A_VECTOR: vectors && aligned(this.#a.base, aRow, this.#product.aBatchStride, transposeA ? m : k),
        B_VECTOR: vectors && second.vectors,
        Y_VECTOR: vectors && aligned(target.base, target.row, target.batch, n),
        ...this.#activated(whole),
      },
      [...(this.#activated(whole).ACTIVATED ? [activation] : []), ...(this.#codes === undefined ? [] : [matmulCodes])],
    );
    const [tilesM, tilesN] = [Math.ceil(m / tileM), Math.ceil(n / tileN)];
    const slice = Math.ceil(k / splits / tileK) * tileK;
    const groups = tilesM * tilesN * batch * splits;
    return launches(groups, this.#traits).map(({ first, workgroups }) => ({
      kernel: source,
      operands: [this.#a.operand, ...second.operands, ...(whole && this.#c !== undefined ? [this.#c.operand] : []), target.operand],
      uniforms: uniformWords([
        ...[first, groups, m, n, k, slice, splits, tilesM, tilesN, this.#a.base, aRow, this.#product.aBatchStride],
        ...[second.base, second.row, this.#product.bBatchStride, this.#c?.base ?? 0, addend?.rowStride ?? 0, addend?.columnStride ?? 0, addend?.batchStride ?? 0],
        ...[target.base, target.row, target.batch, this.count, target.flags, { float: this.#product.alpha }, { float: addend?.beta ?? 0 }],
        ...second.words,
      ]),
      workgroups,
    }));
  }

  /** Dispatches of the kernel for few rows. */
  skinny(splits: number): Dispatch[] {
    const { m, n, k, batch } = this.#sizes();
    const { transposeA, transposeB, addend } = this.#product;
    const whole = splits === 1;
    const rows = 2 ** Math.ceil(Math.log2(m));
    const aRow = transposeA ? 1 : this.#aRow;
    const aColumn = transposeA ? this.#aRow : 1;
    const second = this.#second();
    const target = this.#target(splits);
    const chunk = Math.min(rows, 4);
    const source = kernel(
      'matmul-skinny',
      matmulSkinny,
      {
        ...{ ROWS: rows, CHUNK: chunk, GROUPS: rows / chunk, TRANSPOSE_B: transposeB },
        ...{ ADDEND: whole && addend !== undefined, Y_BINDING: 1 + second.operands.length + Number(whole && addend !== undefined) },
        ...second.flags,
        ...this.#activated(whole),
        A_VECTOR: transposeB && !transposeA && aligned(this.#a.base, aRow, this.#product.aBatchStride, k),
        B_VECTOR: second.vectors,
      },
      [...(this.#activated(whole).ACTIVATED ? [activation] : []), ...(this.#codes === undefined ? [] : [matmulCodes])],
    );
    const tiles = Math.ceil(n / (transposeB ? 16 : 128));
    const slice = Math.ceil(k / splits / 128) * 128;
    const groups = tiles * batch * splits;
    return launches(groups, this.#traits).map(({ first, workgroups }) => ({
      kernel: source,
      operands: [this.#a.operand, ...second.operands, ...(whole && this.#c !== undefined ? [this.#c.operand] : []), target.operand],
      uniforms: uniformWords([
        ...[first, groups, m, n, k, slice, splits, tiles, this.#a.base, aRow, aColumn, this.#product.aBatchStride],
        ...[second.base, second.row, this.#product.bBatchStride, this.#c?.base ?? 0, addend?.rowStride ?? 0, addend?.columnStride ?? 0, addend?.batchStride ?? 0],
        ...[target.base, target.row, target.batch, this.count, target.flags, { float: this.#product.alpha }, { float: addend?.beta ?? 0 }],
        ...second.words,
      ]),
      workgroups,
    }));
  }

  /** Dispatches that add up partial products, or that write activation(beta · c) where there are none. */
  sum(splits: number): Dispatch[] {
    const { m, n } = this.#sizes();
    const { addend } = this.#product;
    const partials = splits > 0;
    const source = kernel(
      'matmul-finish',
      matmulFinish,
      {
        ...{ PARTIALS: partials, ADDEND: addend !== undefined, C_BINDING: Number(partials), Y_BINDING: Number(partials) + Number(addend !== undefined) },
      },
      [activation],
    );
    const groups = Math.ceil(this.count / 256);
    return launches(groups, this.#traits).map(({ first, workgroups }) => ({
      kernel: source,
      operands: [
        ...(partials ? [{ buffer: 'partial', access: 'read', offset: 0, size: splits * this.count * 4 } as const] : []),
        ...(this.#c === undefined ? [] : [this.#c.operand]),
        this.#y.operand,
      ],
      uniforms: uniformWords([
        ...[first, groups, m, n, this.count, splits, this.#c?.base ?? 0, addend?.rowStride ?? 0, addend?.columnStride ?? 0, addend?.batchStride ?? 0],
        ...[this.#y.base, this.#product.n, this.#product.m * this.#product.n, this.#flags, this.#activation(), { float: addend?.beta ?? 0 }],
      ]),
      workgroups,
    }));
  }

  #sizes(): { m: number; n: number; k: number; batch: number } {
    const { m, n, k, batch } = this.#box.size as { m: number; n: number; k: number; batch: number };
    return { m, n, k, batch };
  }

  /** The second operand as the tiled kernel and the one for few rows take it. */
  #second(): { operands: readonly Operand[]; flags: ShaderValues; vectors: boolean; base: number; row: number; words: readonly number[] } {
    const { n, k } = this.#sizes();
    const product = this.#product;
    const codes = this.#codes;
    if (codes === undefined) {
      const row = product.transposeB ? product.k : product.n;
      const vectors = aligned(this.#b.base, row, product.bBatchStride, product.transposeB ? k : n);
      return { operands: [this.#b.operand], flags: { QUANTIZED: false, ZEROS: false }, vectors, base: this.#b.base, row, words: [] };
    }
    const block = this.#box.start['k']! / codes.blockSize;
    const scales = windowOf(codes.scales, this.#box, this.#traits);
    const zeros = codes.zeros && windowOf(codes.zeros, this.#box, this.#traits);
    return {
      operands: [this.#b.operand, scales.operand, ...(zeros === undefined ? [] : [zeros.operand])],
      flags: { QUANTIZED: true, ZEROS: zeros !== undefined },
      vectors: false,
      base: this.#b.base * 4,
      row: codes.rowBytes,
      words: [codes.bits, codes.blockSize, scales.base / 4 + block, codes.scaleRow, zeros?.base ?? 0, codes.zeroRow, block],
    };
  }

  /** How kernels that are specialised for a function are told it. */
  #activated(whole: boolean): { ACTIVATED: boolean; ACTIVATION: number } {
    const ACTIVATION = whole ? this.#activation() : 0;
    return { ACTIVATED: ACTIVATION !== 0, ACTIVATION };
  }

  #activation(): number {
    return this.#product.activation === undefined ? 0 : activations[this.#product.activation];
  }

  /** Where a product is written: to y, or dense to the partial products. */
  #target(splits: number): { operand: Operand; base: number; row: number; batch: number; flags: number } {
    const { m, n } = this.#sizes();
    if (splits > 1) return { operand: { buffer: 'partial', access: 'write', offset: 0, size: splits * this.count * 4 }, base: 0, row: n, batch: m * n, flags: 0 };
    return { operand: this.#y.operand, base: this.#y.base, row: this.#product.n, batch: this.#product.m * this.#product.n, flags: this.#flags };
  }
}

interface Window {
  readonly operand: Operand;
  /** Elements before the box's first in the window. */
  readonly base: number;
}

/** True where all of these are whole vectors. */
function aligned(...values: readonly number[]): boolean {
  return values.every((value) => value % 4 === 0);
}
