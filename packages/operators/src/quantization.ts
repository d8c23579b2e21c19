import { elementCount, hostTensor, roundHalfEven, type DType, type HostTensor } from '@pare/core';
import { fail, input, integers, normalizeAxis, numberAttribute, requireType, shapeText, typeAttribute, type Call, type Kernel } from './kernel.js';
import { positions } from './indexing.js';
import { addProduct, batchedProduct, planProduct } from './matrix.js';
import { aroundAxis, broadcastIndex, broadcastShapes, sameShape } from './shape.js';
import { allocateNumbers, dtypeRange, fromNumbers, isFloat, numbers, saturate, type Numbers } from './values.js';

/* Integer representations: real = (code − zero) · scale. Divisions by a float32 scale are rounded to float32 before they are rounded to an integer,
   as runtimes that compute in float32 do. */

const codeTypes: readonly DType[] = ['uint8', 'int8', 'uint16', 'int16', 'uint4', 'int4'];

/**
 * For each element of `shape`, the position of its scale: one for the tensor, one per coordinate of `axis`, or one per run of `blockSize`
 * coordinates of `axis` (the scale then has the tensor's rank).
 */
function scaleIndex(call: Call, shape: readonly number[], scale: HostTensor): (index: number) => number {
  const blockSize = numberAttribute(call, 'block_size', 0);
  const count = elementCount(scale.shape);
  if (blockSize === 0 && count === 1) return () => 0;
  const axis = normalizeAxis(call, numberAttribute(call, 'axis', 1), shape.length);
  const { size, inner } = aroundAxis(shape, axis);
  if (blockSize === 0) {
    if (scale.shape.length !== 1 || count !== size)
      fail(call, `scale ${shapeText(scale.shape)} must have one element or ${String(size)}, the size of axis ${String(axis)}`);
    return (index) => Math.floor(index / inner) % size;
  }
  const blocks = Math.ceil(size / blockSize);
  const expected = shape.map((dimension, other) => (other === axis ? blocks : dimension));
  if (!sameShape(scale.shape, expected))
    fail(call, `scale ${shapeText(scale.shape)} must be ${shapeText(expected)} for blocks of ${String(blockSize)} along axis ${String(axis)}`);
  return (index) => {
    const outer = Math.floor(index / (size * inner));
    const block = Math.floor((Math.floor(index / inner) % size) / blockSize);
    return (outer * blocks + block) * inner + (index % inner);
  };
}

function zerosOf(call: Call, tensor: HostTensor | undefined, scale: HostTensor): Numbers | undefined {
  if (tensor === undefined) return undefined;
  if (elementCount(tensor.shape) !== elementCount(scale.shape)) fail(call, `zero point ${shapeText(tensor.shape)} and scale ${shapeText(scale.shape)} differ`);
  return numbers(tensor);
}

/** code = saturate(round(x / scale) + zero). */
const quantizeLinear: Kernel = (call) => {
  const x = input(call, 0);
  const scale = input(call, 1);
  const zeroPoint = call.inputs[2];
  const dtype = zeroPoint?.dtype ?? typeAttribute(call, 'output_dtype') ?? 'uint8';
  if (!codeTypes.includes(dtype)) fail(call, `codes of type ${dtype} are not defined; allowed: ${codeTypes.join(', ')}`);
  const scaleAt = scaleIndex(call, x.shape, scale);
  const source = numbers(x);
  const scales = numbers(scale);
  const zeros = zerosOf(call, zeroPoint, scale);
  const [low, high] = dtypeRange(dtype);
  const result = allocateNumbers(dtype, source.length);
  for (let index = 0; index < source.length; index++) {
    const at = scaleAt(index);
    result[index] = saturate(roundHalfEven(Math.fround(source[index]! / scales[at]!)) + (zeros?.[at] ?? 0), low, high);
  }
  return [fromNumbers(dtype, x.shape, result)];
};

/** real = (code − zero) · scale, in the scale's type. */
const dequantizeLinear: Kernel = (call) => {
  const x = input(call, 0);
  const scale = input(call, 1);
  requireType(call, x, 'input', [...codeTypes, 'int32']);
  const scaleAt = scaleIndex(call, x.shape, scale);
  const source = numbers(x);
  const scales = numbers(scale);
  const zeros = zerosOf(call, call.inputs[2], scale);
  const result = allocateNumbers(scale.dtype, source.length);
  for (let index = 0; index < source.length; index++) {
    const at = scaleAt(index);
    result[index] = (source[index]! - (zeros?.[at] ?? 0)) * scales[at]!;
  }
  return [fromNumbers(scale.dtype, x.shape, result)];
};

/** uint8 codes of the whole tensor over [min(x, 0), max(x, 0)]: scale = range / 255, zero = saturate(round(−min / scale)). */
const dynamicQuantizeLinear: Kernel = (call) => {
  const x = input(call, 0);
  const source = numbers(x);
  let low = 0;
  let high = 0;
  for (const value of source) {
    low = Math.min(low, value);
    high = Math.max(high, value);
  }
  const scale = Math.fround(Math.fround(high - low) / 255);
  const zero = scale === 0 ? 0 : saturate(roundHalfEven(Math.fround(-low / scale)), 0, 255);
  const codes = new Uint8Array(source.length);
  for (let index = 0; index < source.length; index++) {
    codes[index] = scale === 0 ? 0 : saturate(roundHalfEven(Math.fround(source[index]! / scale)) + zero, 0, 255);
  }
  return [hostTensor('uint8', x.shape, codes), hostTensor('float32', [], Float32Array.of(scale)), hostTensor('uint8', [], Uint8Array.of(zero))];
};

/** The codes less their zero points. A zero point per row of A or per column of B is 1-D; it may also have the operand's rank. */
function centred(call: Call, codes: HostTensor, zeroPoint: HostTensor | undefined, side: 'rows' | 'columns'): Int32Array {
  const source = numbers(codes);
  const result = new Int32Array(source.length);
  const zeros = zeroPoint === undefined ? Int32Array.of(0) : numbers(zeroPoint);
  let shape: readonly number[] = zeroPoint?.shape ?? [];
  if (shape.length === 1 && side === 'rows') shape = [shape[0]!, 1];
  if (broadcastShapes([shape, codes.shape])?.length !== codes.shape.length && elementCount(shape) !== 1) {
    fail(call, `zero point ${shapeText(zeroPoint?.shape ?? [])} does not fit ${shapeText(codes.shape)}`);
  }
  const from = elementCount(shape) === 1 ? new Int32Array(source.length) : broadcastIndex(shape, codes.shape);
  for (let index = 0; index < source.length; index++) result[index] = source[index]! - zeros[from?.[index] ?? index]!;
  return result;
}

/** Σₖ (a − aZero)(b − bZero) in int32. */
const matMulInteger: Kernel = (call) => {
  const a = input(call, 0);
  const b = input(call, 1);
  const plan = planProduct(call, a.shape, b.shape);
  const product = batchedProduct(plan, centred(call, a, call.inputs[2], 'rows'), centred(call, b, call.inputs[3], 'columns'));
  return [fromNumbers('int32', plan.shape, product)];
};

/** The integer product above, requantized: code = saturate(round(Σ · aScale · bScale / yScale) + yZero). Scales per row of A and column of B are allowed. */
const qLinearMatMul: Kernel = (call) => {
  const [a, aScale, aZero, b, bScale, bZero, yScale, yZero] = [0, 1, 2, 3, 4, 5, 6, 7].map((position) => input(call, position)) as [
    HostTensor,
    HostTensor,
    HostTensor,
    HostTensor,
    HostTensor,
    HostTensor,
    HostTensor,
    HostTensor,
  ];
  const plan = planProduct(call, a.shape, b.shape);
  const product = batchedProduct(plan, centred(call, a, aZero, 'rows'), centred(call, b, bZero, 'columns'));
  const rowScales = numbers(aScale);
  const columnScales = numbers(bScale);
  const target = numbers(yScale)[0]!;
  const zero = numbers(yZero)[0]!;
  const [low, high] = dtypeRange(yZero.dtype);
  const result = allocateNumbers(yZero.dtype, product.length);
  for (let index = 0; index < product.length; index++) {
    const rowScale = rowScales[rowScales.length === 1 ? 0 : Math.floor(index / plan.n) % plan.m]!;
    const columnScale = columnScales[columnScales.length === 1 ? 0 : index % plan.n]!;
    result[index] = saturate(roundHalfEven((product[index]! * rowScale * columnScale) / target) + zero, low, high);
  }
  return [fromNumbers(yZero.dtype, plan.shape, result)];
};

/** Reads code `index` of a packed byte array, `bits` (2, 4 or 8) each, lowest bits of a byte first. */
function packedCode(bytes: Numbers, index: number, bits: number): number {
  const perByte = 8 / bits;
  return (bytes[Math.floor(index / perByte)]! >> ((index % perByte) * bits)) & (2 ** bits - 1);
}

/**
 * com.microsoft MatMulNBits: A [.., K] times the transpose of a matrix [N, K] that is stored as codes of `bits` bits, in blocks of `block_size`
 * along K. B is [N, blocks, block_size · bits / 8] bytes, scales [N · blocks], zero points either packed like B with each row padded to whole
 * bytes, [N · ceil(blocks · bits / 8)], or one float each; 2^(bits−1) when absent. g_idx [K] names the block of each column. bias is [N].
 */
const matMulNBits: Kernel = (call) => {
  const a = input(call, 0);
  const k = numberAttribute(call, 'K') ?? fail(call, 'attribute K is missing');
  const n = numberAttribute(call, 'N') ?? fail(call, 'attribute N is missing');
  const bits = numberAttribute(call, 'bits', 4);
  const blockSize = numberAttribute(call, 'block_size') ?? fail(call, 'attribute block_size is missing');
  if (![2, 4, 8].includes(bits)) fail(call, `bits is ${String(bits)}; allowed: 2, 4, 8`);
  if (a.shape.at(-1) !== k) fail(call, `A ${shapeText(a.shape)} must end in K = ${String(k)}`);
  const blocks = Math.ceil(k / blockSize);
  const packed = numbers(input(call, 1));
  const scales = numbers(input(call, 2));
  const zeroPoints = call.inputs[3];
  const groups = call.inputs[4] === undefined ? undefined : integers(call.inputs[4]);
  const bias = call.inputs[5] === undefined ? undefined : numbers(call.inputs[5]);
  if (packed.length !== (n * blocks * blockSize * bits) / 8)
    fail(call, `B ${shapeText(input(call, 1).shape)} must hold [N, ${String(blocks)}, ${String((blockSize * bits) / 8)}] bytes`);
  if (scales.length !== n * blocks) fail(call, `scales ${shapeText(input(call, 2).shape)} must have N · ${String(blocks)} elements`);
  const zeros = zeroPoints === undefined ? undefined : numbers(zeroPoints);
  const packedZeros = zeroPoints !== undefined && !isFloat(zeroPoints.dtype);
  const zeroRow = packedZeros ? Math.ceil((blocks * bits) / 8) * (8 / bits) : blocks;
  if (zeros !== undefined && zeros.length * (packedZeros ? 8 / bits : 1) !== n * zeroRow)
    fail(call, `zero points ${shapeText(zeroPoints!.shape)} do not fit ${String(blocks)} blocks of N rows`);
  const weight = new Float64Array(n * k);
  for (let row = 0; row < n; row++) {
    for (let column = 0; column < k; column++) {
      const block = groups?.[column] ?? Math.floor(column / blockSize);
      const zero = zeros === undefined ? 2 ** (bits - 1) : packedZeros ? packedCode(zeros, row * zeroRow + block, bits) : zeros[row * zeroRow + block]!;
      weight[row * k + column] = (packedCode(packed, row * blocks * blockSize + column, bits) - zero) * scales[row * blocks + block]!;
    }
  }
  const rows = elementCount(a.shape.slice(0, -1));
  const out = new Float64Array(rows * n);
  if (bias !== undefined) for (let index = 0; index < out.length; index++) out[index] = bias[index % n]!;
  addProduct({ data: numbers(a), offset: 0, rowStep: k, columnStep: 1 }, { data: weight, offset: 0, rowStep: 1, columnStep: k }, rows, n, k, out, 0);
  return [fromNumbers(a.dtype, [...a.shape.slice(0, -1), n], out)];
};

/**
 * com.microsoft GatherBlockQuantized: Gather of a table whose elements are codes in blocks of `block_size` along `quantize_axis`, dequantized
 * after the gathering. The table is int4 or uint4 (zero 0 unless given), or uint8 holding 8 / bits codes a byte along its last axis (zero
 * 2^(bits−1) unless given, packed the same way).
 */
const gatherBlockQuantized: Kernel = (call) => {
  const data = input(call, 0);
  const indices = input(call, 1);
  const scale = input(call, 2);
  const zeroPoint = call.inputs[3];
  requireType(call, data, 'data', ['int4', 'uint4', 'uint8']);
  const bits = numberAttribute(call, 'bits', 4);
  const perElement = data.dtype === 'uint8' ? 8 / bits : 1;
  const shape = data.shape.map((size, axis) => (axis === data.shape.length - 1 ? size * perElement : size));
  const rank = shape.length;
  const gatherAxis = normalizeAxis(call, numberAttribute(call, 'gather_axis', 0), rank);
  const quantizeAxis = normalizeAxis(call, numberAttribute(call, 'quantize_axis', 1), rank);
  const blockSize = numberAttribute(call, 'block_size', 128);
  if (gatherAxis === quantizeAxis) fail(call, 'gather_axis and quantize_axis must differ');
  const blocks = Math.ceil(shape[quantizeAxis]! / blockSize);
  const expected = shape.map((size, axis) => (axis === quantizeAxis ? blocks : size));
  if (!sameShape(scale.shape, expected)) fail(call, `scales ${shapeText(scale.shape)} must be ${shapeText(expected)}`);
  const codes = numbers(data);
  const scales = numbers(scale);
  const zeros = zeroPoint === undefined ? undefined : numbers(zeroPoint);
  const defaultZero = data.dtype === 'uint8' ? 2 ** (bits - 1) : 0;
  const read = (values: Numbers, row: number, column: number, width: number): number =>
    perElement === 1 ? values[row * width + column]! : packedCode(values, row * Math.ceil(width / perElement) * perElement + column, bits);
  const { outer, size, inner } = aroundAxis(shape, gatherAxis);
  const taken = positions(call, indices, size);
  const last = shape.at(-1)!;
  const scaleLast = expected.at(-1)!;
  const quantized = aroundAxis(shape, quantizeAxis);
  const result = allocateNumbers(scale.dtype, outer * taken.length * inner);
  for (let o = 0; o < outer; o++) {
    for (let i = 0; i < taken.length; i++) {
      for (let n = 0; n < inner; n++) {
        const at = (o * size + taken[i]!) * inner + n;
        const block = Math.floor((Math.floor(at / quantized.inner) % quantized.size) / blockSize);
        const scaleAt = (Math.floor(at / (quantized.size * quantized.inner)) * blocks + block) * quantized.inner + (at % quantized.inner);
        const zero = zeros === undefined ? defaultZero : read(zeros, Math.floor(scaleAt / scaleLast), scaleAt % scaleLast, scaleLast);
        result[(o * taken.length + i) * inner + n] = (read(codes, Math.floor(at / last), at % last, last) - zero) * scales[scaleAt]!;
      }
    }
  }
  return [fromNumbers(scale.dtype, [...shape.slice(0, gatherAxis), ...indices.shape, ...shape.slice(gatherAxis + 1)], result)];
};

export const quantization: readonly (readonly [string, Kernel])[] = [
  ['::QuantizeLinear', quantizeLinear],
  ['::DequantizeLinear', dequantizeLinear],
  ['::DynamicQuantizeLinear', dynamicQuantizeLinear],
  ['::MatMulInteger', matMulInteger],
  ['::QLinearMatMul', qLinearMatMul],
  ['com.microsoft::MatMulNBits', matMulNBits],
  ['com.microsoft::GatherBlockQuantized', gatherBlockQuantized],
];
