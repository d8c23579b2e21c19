import { pareError, readInitializer, throwIfAborted, type FormatContext, type Graph, type HostTensor, type VerificationResult, type WrittenFile } from '@pare/core';
import { readOnnxFile } from '@pare/graph/node';
import { denseFloat32, trainCoreName } from '@pare/weights';
import { join } from 'node:path';
import { matrixName, packedNames } from './export-scope.js';
import { integerNames, unsignedShift } from './integer.js';
import type { OnnxOptions } from './options.js';
import { compareRuns } from './verify-run.js';
import { resolveVariants, variantFile, type Variant } from './variants.js';

/** Largest rounding of a finite number to half precision, relative and (below the normal range) absolute. */
const halfRelative = 2 ** -11;
const halfAbsolute = 2 ** -25;

/**
 * Reads every written file back: each weight against the model, decoded here and not by the packing code; then, unless switched off, the file in onnxruntime, as a
 * prompt and token by token, against a forward pass of the model.
 * @throws PARE_VERIFICATION_FAILED
 */
export async function verify(context: FormatContext<OnnxOptions>, files: readonly WrittenFile[]): Promise<VerificationResult> {
  const written = new Set(files.map(({ path }) => path));
  const variants = resolveVariants(['fp32', 'fp16', 'q8', 'q4', 'q4f16', 'q2', 'q2f16'], []).filter((variant) => written.has(variantFile(variant)));
  let tensors = 0;
  let largestDifference = 0;
  for (const variant of variants) {
    const result = await compareWeights(context, variant);
    tensors += result.tensors;
    largestDifference = Math.max(largestDifference, result.largestDifference);
    if (context.options.verifyByRunning) await compareRuns(context, variant);
  }
  return { tensors, largestDifference };
}

async function compareWeights(context: FormatContext<OnnxOptions>, variant: Variant): Promise<VerificationResult> {
  const { model, directory, signal, progress } = context;
  const file = variantFile(variant);
  const graph = await readOnnxFile(join(directory, file));
  let tensors = 0;
  let largestDifference = 0;
  const compare = (tensor: string, found: Float32Array, expected: Float32Array): void => {
    throwIfAborted(signal, 'reading back');
    largestDifference = Math.max(largestDifference, differenceOf(file, variant, tensor, found, expected));
    progress.report({ completed: ++tensors, total: model.tensors.length, unit: 'tensors', detail: `reading back ${file}` });
  };
  const owners = model.modules.filter(({ sharedWith }) => sharedWith === undefined);
  for (const { name } of owners) {
    const form = await model.weight(name);
    if (form.form === 'tensor-train') {
      for (const [index, core] of form.cores.entries()) {
        const tensor = trainCoreName(name, index);
        compare(tensor, await readFloats(graph, file, tensor), denseFloat32({ form: 'dense', shape: core.shape, tensor: core }));
      }
      continue;
    }
    if (form.form !== 'factorized') {
      const { data, shape } = await model.denseWeight(name);
      compare(name, await readModule(graph, file, name, shape[0]!, shape[1]!), data);
      continue;
    }
    for (const [side, factor] of [['left', form.left], ['right', form.right]] as const) {
      compare(`${name}.${side}`, await readModule(graph, file, `${name}.${side}`, factor.shape[0]!, factor.shape[1]!), denseFloat32(factor));
    }
  }
  const matrices = new Set(owners.map(({ name }) => `${name}.weight`));
  for (const { name } of model.tensors) {
    if (matrices.has(name)) continue;
    const tensor = await model.tensor(name);
    compare(name, await readFloats(graph, file, name), denseFloat32({ form: 'dense', shape: tensor.shape, tensor }));
  }
  return { tensors, largestDifference };
}

/** Largest difference, after checking each against what the variant's type may round away. */
function differenceOf(file: string, { float }: Variant, tensor: string, found: Float32Array, expected: Float32Array): number {
  if (found.length !== expected.length) throw failed(file, tensor, `has ${String(found.length)} elements instead of ${String(expected.length)}`);
  let largest = 0;
  for (let index = 0; index < found.length; index++) {
    const difference = Math.abs(found[index]! - expected[index]!);
    const allowed = float === 'float16' ? Math.abs(expected[index]!) * halfRelative * 1.001 + halfAbsolute * 256 : 0;
    if (!(difference <= allowed)) throw failed(file, tensor, `holds ${String(found[index])} instead of ${String(expected[index])} at element ${String(index)}`);
    if (difference > largest) largest = difference;
  }
  return largest;
}

/** A module's matrix [out, in] as the file holds it: as it is stored for look-ups, transposed, or packed. */
async function readModule(graph: Graph, file: string, module: string, rows: number, columns: number): Promise<Float32Array> {
  if (graph.initializers.has(`${module}.weight`)) return readFloats(graph, file, `${module}.weight`);
  if (graph.initializers.has(matrixName(module))) {
    const stored = await readFloats(graph, file, matrixName(module));
    const values = new Float32Array(stored.length);
    for (let row = 0; row < rows; row++) for (let column = 0; column < columns; column++) values[row * columns + column] = stored[column * rows + row]!;
    return values;
  }
  if (graph.initializers.has(integerNames(module).codes)) return readInteger(graph, file, module, rows, columns);
  return readPacked(graph, file, module, rows, columns);
}

/** Multiplies the codes [in, out] of integer products out: (code − zero) · scale. */
async function readInteger(graph: Graph, file: string, module: string, rows: number, columns: number): Promise<Float32Array> {
  const names = integerNames(module);
  const codes = (await read(graph, file, names.codes)).data as Uint8Array;
  const scales = await readFloats(graph, file, names.scales);
  const zeroPoints = graph.initializers.has(names.zeroPoints) ? ((await read(graph, file, names.zeroPoints)).data as Uint8Array) : Uint8Array.of(unsignedShift);
  const of = <T extends Float32Array | Uint8Array>(values: T, row: number): number => values[values.length === 1 ? 0 : row]!;
  const values = new Float32Array(rows * columns);
  for (let row = 0; row < rows; row++) {
    for (let column = 0; column < columns; column++) values[row * columns + column] = (codes[column * rows + row]! - of(zeroPoints, row)) * of(scales, row);
  }
  return values;
}

/** Multiplies packed codes out: (code − zero) · scale, with codes as a little-endian bit stream in each block. */
async function readPacked(graph: Graph, file: string, module: string, rows: number, columns: number): Promise<Float32Array> {
  const names = packedNames(module);
  const packed = await read(graph, file, names.data);
  const data = packed.data as Uint8Array;
  const scales = await readFloats(graph, file, names.scales);
  const zeroPoints = graph.initializers.has(names.zeroPoints) ? ((await read(graph, file, names.zeroPoints)).data as Uint8Array) : undefined;
  const [, blocks, blockBytes] = packed.shape as [number, number, number];
  const node = graph.nodes.find(({ inputs }) => inputs.includes(names.data));
  if (node === undefined) throw failed(file, module, 'is stored but read by no node');
  const bits = node.attributes['bits'] as number;
  const blockSize = node.attributes['block_size'] as number;
  const zeroBytes = zeroPoints === undefined ? 0 : zeroPoints.length / rows;
  const mask = (1 << bits) - 1;
  const codeAt = (bytes: Uint8Array, start: number, index: number): number => (bytes[start + ((index * bits) >> 3)]! >> ((index * bits) & 7)) & mask;
  const values = new Float32Array(rows * columns);
  for (let row = 0; row < rows; row++) {
    for (let block = 0; block < blocks; block++) {
      const scale = scales[row * blocks + block]!;
      const zero = zeroPoints === undefined ? 1 << (bits - 1) : codeAt(zeroPoints, row * zeroBytes, block);
      const start = block * blockSize;
      const end = Math.min(columns, start + blockSize);
      for (let column = start; column < end; column++) values[row * columns + column] = (codeAt(data, (row * blocks + block) * blockBytes, column - start) - zero) * scale;
    }
  }
  return values;
}

async function readFloats(graph: Graph, file: string, name: string): Promise<Float32Array> {
  const tensor = await read(graph, file, name);
  return denseFloat32({ form: 'dense', shape: tensor.shape, tensor });
}

async function read(graph: Graph, file: string, name: string): Promise<HostTensor> {
  const initializer = graph.initializers.get(name);
  if (initializer === undefined) throw failed(file, name, 'is not in the file');
  return readInitializer(initializer);
}

function failed(file: string, tensor: string, problem: string): Error {
  return pareError('PARE_VERIFICATION_FAILED', { file, tensor, problem });
}
