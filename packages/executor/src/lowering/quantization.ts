import { elementCount, type DType } from '@pare/core';
import { dtypeOfOnnxCode } from '@pare/graph';
import { add, and, binary, convert, divide, equal, less, literal, multiply, remainder, scalarTypeOf, select, size, subtract, unary, type Expression } from '../expression/expression.js';
import { atCoordinates, atPosition, type Coordinates } from '../expression/coordinates.js';
import { broadcastShape, computable } from './elementwise.js';
import { count, type BufferTensor, type LazyTensor } from './lazy-tensor.js';
import { reshaped, transposed } from './layout.js';
import { cannotLower, type LoweringCall, type OperatorLowering } from './lowering.js';
import { contraction, product } from './matrix.js';
import { denseFloat, storedAs } from './normalisation.js';
import { reduceAxes } from './reduction.js';

/* Integer representations: real = (code − zero) · scale. */

const zero = literal('i32', 0);

const ranges: Partial<Record<DType, readonly [number, number]>> = { int4: [-8, 7], uint4: [0, 15], int8: [-128, 127], uint8: [0, 255], int16: [-32768, 32767], uint16: [0, 65535] };

/** round(value) + zero, saturated to the code's type. */
function encoded(dtype: DType, quotient: Expression, zeroPoint: Expression): Expression {
  const [low, high] = ranges[dtype]!;
  const code = add(unary('round', quotient), zeroPoint);
  const clamped = binary('minimum', binary('maximum', code, literal('f32', low)), literal('f32', high));
  return convert(scalarTypeOf(dtype), clamped);
}

/** Coordinates in the scale's tensor of the element at some coordinates of a tensor of `shape`. */
function scaleCoordinates(call: LoweringCall, shape: readonly number[], scale: LazyTensor): (coordinates: Coordinates) => Coordinates {
  const block = call.number('block_size', 0);
  if (block === 0 && count(scale) === 1) return () => atPosition(scale.shape, zero);
  const axis = call.axis(call.number('axis', 1), shape.length);
  if (block === 0) {
    if (scale.shape.length !== 1 || count(scale) !== shape[axis]) call.fail(`scale [${scale.shape.join(', ')}] must have one element or ${String(shape[axis])}, the size of axis ${String(axis)}`);
    return (coordinates) => atCoordinates(scale.shape, [coordinates.list()[axis]!]);
  }
  const expected = shape.map((extent, other) => (other === axis ? Math.ceil(extent / block) : extent));
  if (expected.join() !== scale.shape.join()) call.fail(`scale [${scale.shape.join(', ')}] must be [${expected.join(', ')}] for blocks of ${String(block)} along axis ${String(axis)}`);
  return (coordinates) => atCoordinates(scale.shape, coordinates.list().map((coordinate, other) => (other === axis ? divide(coordinate, size(block)) : coordinate)));
}

const zeroPointAt = (tensor: LazyTensor | undefined, coordinates: Coordinates): Expression =>
  tensor === undefined ? literal('f32', 0) : convert('f32', tensor.at(atPosition(tensor.shape, coordinates.linear())));

const quantizeLinear: OperatorLowering = (call) => {
  const [x, scale] = [call.input(0), call.input(1)];
  const zeroPoint = call.inputs[2];
  computable([x, scale]);
  const dtype = zeroPoint?.dtype ?? dtypeOfOnnxCode(call.number('output_dtype', 0)) ?? 'uint8';
  if (ranges[dtype] === undefined) call.fail(`codes of type ${dtype} are not defined`);
  const place = scaleCoordinates(call, x.shape, scale);
  const inputs = [x, scale, ...(zeroPoint === undefined ? [] : [zeroPoint])];
  return [
    call.lowering.fused(call.name, dtype, x.shape, inputs, ([value, scales, zeros], coordinates) => {
      const at = place(coordinates);
      return encoded(dtype, divide(convert('f32', value!.at(coordinates)), scales!.at(at)), zeroPointAt(zeros, at));
    }),
  ];
};

const dequantizeLinear: OperatorLowering = (call) => {
  const [x, scale] = [call.input(0), call.input(1)];
  const zeroPoint = call.inputs[2];
  computable([x, scale]);
  const place = scaleCoordinates(call, x.shape, scale);
  const inputs = [x, scale, ...(zeroPoint === undefined ? [] : [zeroPoint])];
  return [
    call.lowering.fused(call.name, scale.dtype, x.shape, inputs, ([code, scales, zeros], coordinates) => {
      const at = place(coordinates);
      return multiply(subtract(convert('f32', code!.at(coordinates)), zeroPointAt(zeros, at)), scales!.at(at));
    }),
  ];
};

/** uint8 codes of the whole tensor over [min(x, 0), max(x, 0)]. */
const dynamicQuantizeLinear: OperatorLowering = (call) => {
  const x = call.lowering.settled(call.input(0), call.name);
  const all = new Set(x.shape.keys());
  const bound = (reduction: 'maximum' | 'minimum'): LazyTensor =>
    call.lowering.dense(reduceAxes(call, x, all, false, reduction, (element) => element, (combined) => binary(reduction, combined, literal('f32', 0))), call.name);
  const [low, high] = [bound('minimum'), bound('maximum')];
  const only = (tensor: LazyTensor): Expression => tensor.at(atPosition(tensor.shape, zero));
  const scale = call.lowering.compute(call.name, 'float32', [], () => divide(subtract(only(high), only(low)), literal('f32', 255)));
  const flat = (value: Expression): Expression => select(equal(only(scale), literal('f32', 0)), literal('u32', 0), value);
  const zeroPoint = call.lowering.compute(call.name, 'uint8', [], () => flat(encoded('uint8', unary('negate', divide(only(low), only(scale))), literal('f32', 0))));
  const codes = call.lowering.fused(call.name, 'uint8', x.shape, [x], ([value], coordinates) =>
    flat(encoded('uint8', divide(value!.at(coordinates), only(scale)), convert('f32', only(zeroPoint)))),
  );
  return [codes, scale, zeroPoint];
};

/** The zero point of a row of A or a column of B. */
function centred(tensor: LazyTensor | undefined, side: 'rows' | 'columns'): (element: Expression, place: Expression, batch: readonly Expression[]) => Expression {
  return (element, place, batch) => {
    const value = convert('i32', element);
    if (tensor === undefined) return value;
    if (count(tensor) === 1) return subtract(value, convert('i32', tensor.at(atPosition(tensor.shape, zero))));
    if (tensor.shape.length === 1) return subtract(value, convert('i32', tensor.at(atCoordinates(tensor.shape, [place]))));
    // Of the operand's rank: [batch…, rows, 1] or [batch…, 1, columns].
    const own = tensor.shape.length - 2;
    const list = [...batch.slice(batch.length - own), ...(side === 'rows' ? [place, zero] : [zero, place])];
    return subtract(value, convert('i32', tensor.at(atCoordinates(tensor.shape, list))));
  };
}

function matrixShapes(call: LoweringCall, a: LazyTensor, b: LazyTensor): { left: LazyTensor; right: LazyTensor; shape: number[]; full: number[]; k: number } {
  const left = a.shape.length === 1 ? reshaped(a, [1, ...a.shape]) : a;
  const right = b.shape.length === 1 ? reshaped(b, [...b.shape, 1]) : b;
  const [m, k] = left.shape.slice(-2) as [number, number];
  const n = right.shape.at(-1)!;
  if (right.shape.at(-2) !== k) call.fail(`[${a.shape.join(', ')}] times [${b.shape.join(', ')}]: inner sizes differ`);
  const batch = broadcastShape(call, [left, right].map(({ shape }) => ({ shape: shape.slice(0, -2) })));
  return { left, right, k, full: [...batch, m, n], shape: [...batch, ...(a.shape.length === 1 ? [] : [m]), ...(b.shape.length === 1 ? [] : [n])] };
}

/** Σₖ (a − aZero)(b − bZero) in int32. */
function integerProduct(call: LoweringCall, a: LazyTensor, b: LazyTensor, aZero: LazyTensor | undefined, bZero: LazyTensor | undefined): { product: LazyTensor; shape: number[]; full: number[] } {
  const { left, right, k, full, shape } = matrixShapes(call, a, b);
  const settled = (tensor: LazyTensor): LazyTensor => call.lowering.settled(tensor, call.name);
  const product = contraction(call, settled(left), settled(right), full, k, centred(aZero, 'rows'), centred(bZero, 'columns'), 'int32');
  return { product, shape, full };
}

const matMulInteger: OperatorLowering = (call) => {
  const { product, shape } = integerProduct(call, call.input(0), call.input(1), call.inputs[2], call.inputs[3]);
  return [reshaped(product, shape)];
};

const qLinearMatMul: OperatorLowering = (call) => {
  const [a, aScale, aZero, b, bScale, bZero, yScale, yZero] = [0, 1, 2, 3, 4, 5, 6, 7].map((index) => call.input(index)) as [LazyTensor, LazyTensor, LazyTensor, LazyTensor, LazyTensor, LazyTensor, LazyTensor, LazyTensor];
  computable([aScale, bScale, yScale]);
  const { product, shape, full } = integerProduct(call, a, b, aZero, bZero);
  if (ranges[yZero.dtype] === undefined) cannotLower(`codes of ${yZero.dtype}`);
  const only = (tensor: LazyTensor): Expression => convert('f32', tensor.at(atPosition(tensor.shape, zero)));
  const scaleOf = (tensor: LazyTensor, place: Expression): Expression => (count(tensor) === 1 ? only(tensor) : convert('f32', tensor.at(atPosition(tensor.shape, place))));
  const codes = call.lowering.fused(call.name, yZero.dtype, full, [product], ([sum], coordinates) => {
    const [row, column] = coordinates.list().slice(-2) as [Expression, Expression];
    const real = multiply(multiply(convert('f32', sum!.at(coordinates)), scaleOf(aScale, row)), scaleOf(bScale, column));
    return encoded(yZero.dtype, divide(real, only(yScale)), only(yZero));
  });
  return [reshaped(codes, shape)];
};

/** Code `index` of packed bytes, `bits` (2, 4 or 8) each, lowest bits first. */
function packedCode(bytes: LazyTensor, index: Expression, bits: number): Expression {
  const perByte = 8 / bits;
  const byte = convert('u32', bytes.at(atPosition(bytes.shape, divide(index, literal('i32', perByte)))));
  const shift = convert('u32', multiply(remainder(index, literal('i32', perByte)), literal('i32', bits)));
  return and(binary('shift-right', byte, shift), literal('u32', 2 ** bits - 1));
}

/** com.microsoft MatMulNBits: by the device's routine where it has one for the scheme and no product in fewer bits pays, else the matrix is multiplied out first. */
const matMulNBits: OperatorLowering = (call) => {
  const a = call.input(0);
  const [packed, scales] = [call.input(1), call.input(2)];
  const [zeroPoints, groups, bias] = [call.inputs[3], call.inputs[4], call.inputs[5]];
  computable([a, scales, zeroPoints]);
  const k = call.number('K', 0);
  const n = call.number('N', 0);
  const bits = call.number('bits', 4);
  const blockSize = call.number('block_size', 32);
  if (![2, 4, 8].includes(bits)) call.fail(`bits is ${String(bits)}; allowed: 2, 4, 8`);
  if (a.shape.at(-1) !== k) call.fail(`A [${a.shape.join(', ')}] must end in K = ${String(k)}`);
  if (packed.dtype !== 'uint8') cannotLower(`codes in ${packed.dtype}`);
  const blocks = Math.ceil(k / blockSize);
  const rows = elementCount(a.shape.slice(0, -1));
  const shape = [...a.shape.slice(0, -1), n];
  const { lowering } = call;
  const packedZeros = zeroPoints?.dtype === 'uint8';
  const { quantizedMatMul: routine, narrowing } = lowering.target.routines;
  const x = denseFloat(call, reshaped(a, [rows, k]));
  const whole = (tensor: LazyTensor): BufferTensor => lowering.dense(tensor, call.name);
  const narrowed = narrowing?.pays({ m: rows, n, k, batch: 1 }) === true;
  if (routine !== undefined && !narrowed && groups === undefined && (bits === 4 || bits === 8) && (zeroPoints === undefined || packedZeros) && rows * n > 0) {
    const y = lowering.output('float32', shape);
    lowering.program(routine({ m: rows, n, k, bits, blockSize, zeros: zeroPoints !== undefined, bias: bias !== undefined }, lowering.traits), {
      x: x.view.buffer,
      codes: whole(packed).view.buffer,
      scales: denseFloat(call, scales).view.buffer,
      y: y.view.buffer,
      ...(zeroPoints === undefined ? {} : { zeros: whole(zeroPoints).view.buffer }),
      ...(bias === undefined ? {} : { bias: denseFloat(call, bias).view.buffer }),
    });
    return [storedAs(call, a.dtype, y)];
  }
  const codes = whole(packed);
  const scaleValues = lowering.settled(scales, call.name);
  const zeroValues = zeroPoints === undefined ? undefined : lowering.settled(zeroPoints, call.name);
  const groupOf = groups === undefined ? undefined : lowering.settled(groups, call.name);
  const zeroRow = packedZeros ? Math.ceil((blocks * bits) / 8) * (8 / bits) : blocks;
  const weight = lowering.compute(call.name, 'float32', [n, k], (coordinates) => {
    const [row, column] = coordinates.list() as [Expression, Expression];
    const block = groupOf === undefined ? divide(column, size(blockSize)) : convert('i32', groupOf.at(atCoordinates(groupOf.shape, [column])));
    const code = convert('f32', packedCode(codes, add(multiply(row, size(blocks * blockSize)), column), bits));
    const zeroAt = add(multiply(row, size(zeroRow)), block);
    const zeroPoint =
      zeroValues === undefined
        ? literal('f32', 2 ** (bits - 1))
        : packedZeros
          ? convert('f32', packedCode(zeroValues, zeroAt, bits))
          : convert('f32', zeroValues.at(atPosition(zeroValues.shape, zeroAt)));
    return multiply(subtract(code, zeroPoint), convert('f32', scaleValues.at(atPosition(scaleValues.shape, add(multiply(row, size(blocks)), block)))));
  });
  const y = product(call, x, transposed(weight, [1, 0]), { addend: bias === undefined ? undefined : { tensor: bias, beta: 1 } });
  return [storedAs(call, a.dtype, reshaped(y, shape))];
};

/** Gather of a table of codes in blocks along `quantize_axis`, dequantized after the gathering. */
const gatherBlockQuantized: OperatorLowering = (call) => {
  const [data, indices, scale] = [call.lowering.settled(call.input(0), call.name), call.input(1), call.input(2)];
  const zeroPoint = call.inputs[3];
  computable([scale]);
  const bits = call.number('bits', 4);
  const perElement = data.dtype === 'uint8' ? 8 / bits : 1;
  const shape = data.shape.map((extent, axis) => (axis === data.shape.length - 1 ? extent * perElement : extent));
  const rank = shape.length;
  const gatherAxis = call.axis(call.number('gather_axis', 0), rank);
  const quantizeAxis = call.axis(call.number('quantize_axis', 1), rank);
  const block = call.number('block_size', 128);
  if (gatherAxis === quantizeAxis) call.fail('gather_axis and quantize_axis must differ');
  const result = [...shape.slice(0, gatherAxis), ...indices.shape, ...shape.slice(gatherAxis + 1)];
  const extent = shape[gatherAxis]!;
  const width = indices.shape.length;
  /** A code of a table whose rows are packed to whole bytes. */
  const codeAt = (table: LazyTensor, at: Coordinates): Expression => {
    if (perElement === 1) return convert('f32', table.at(at));
    const last = at.shape.at(-1)!;
    const list = at.list();
    const front = at.shape.slice(0, -1);
    const row = atCoordinates(front, list.slice(0, -1)).linear();
    return convert('f32', packedCode(table, add(multiply(row, size(Math.ceil(last / perElement) * perElement)), list.at(-1)!), bits));
  };
  const inputs = [data, indices, scale, ...(zeroPoint === undefined ? [] : [zeroPoint])];
  return [
    call.lowering.fused(call.name, scale.dtype, result, inputs, ([table, at, scales, zeros], coordinates) => {
      const list = coordinates.list();
      const given = convert('i32', at!.at(atCoordinates(at!.shape, list.slice(gatherAxis, gatherAxis + width))));
      const index = select(less(given, zero), add(given, size(extent)), given);
      const source = [...list.slice(0, gatherAxis), index, ...list.slice(gatherAxis + width)];
      const place = atCoordinates(scales!.shape, source.map((coordinate, axis) => (axis === quantizeAxis ? divide(coordinate, size(block)) : coordinate)));
      const zeroAt = zeros === undefined ? literal('f32', data.dtype === 'uint8' ? 2 ** (bits - 1) : 0) : codeAt(zeros, place);
      return multiply(subtract(codeAt(table!, atCoordinates(shape, source)), zeroAt), scales!.at(place));
    }),
  ];
};

export const quantizationLowerings: Readonly<Record<string, OperatorLowering>> = {
  '::QuantizeLinear': quantizeLinear,
  '::DequantizeLinear': dequantizeLinear,
  '::DynamicQuantizeLinear': dynamicQuantizeLinear,
  '::MatMulInteger': matMulInteger,
  '::QLinearMatMul': qLinearMatMul,
  'com.microsoft::MatMulNBits': matMulNBits,
  'com.microsoft::GatherBlockQuantized': gatherBlockQuantized,
};

