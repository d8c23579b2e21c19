import { readFileSync } from 'node:fs';
import type { Graph, HostTensor } from '@pare/core';
import { decodeOnnx } from '@pare/graph';
import { castTensor, evaluateGraph } from '@pare/operators';
import type { BackendCase } from './backend-case.js';
import { openFixture } from './fixture-file.js';

/* The ONNX project's own single-operator cases (onnx 1.16.2, opset 21). */

interface IndexEntry {
  readonly name: string;
  readonly operator: string;
  readonly opset: number;
  readonly inputs: number;
  readonly outputs: number;
  readonly rtol: number;
  readonly atol: number;
  /** ONNX bytes in base64. */
  readonly model: string;
}

const folder = new URL('../../fixtures/onnx-node-tests/', import.meta.url);

/** Cases with types that Pare does not compute with: float8, sequences, optionals. No graph can be made of them. */
const foreign = /FLOAT8|_e4m3fn|_e5m2|_identity_sequence$|_identity_opt$/;

/**
 * Cases whose expected outputs contradict their operator's definition. Their inputs are run all the same, and compared with the reference
 * evaluator instead.
 */
const disputed: ReadonlyMap<string, string> = new Map([
  ...['2D_int8_float16', '2D_int8_float32', '3D_int8_float16', '3D_int8_float32'].map(
    (variant) => [`test_qlinearmatmul_${variant}`, 'the expected codes wrap around where the operator saturates'] as const,
  ),
  [
    'test_averagepool_3d_dilations_large_count_include_pad_is_1_ceil_mode_is_True',
    'the expected mean counts elements beyond the padding, which ceil mode touches; later versions of the standard leave them out',
  ],
]);

/** Every case of the suite's index, in its order, with the reason for which it has no graph, if any. */
export function nodeCaseNames(): readonly { readonly name: string; readonly foreign: boolean }[] {
  return readIndex().map(({ name }) => ({ name, foreign: foreign.test(name) }));
}

function readIndex(): readonly IndexEntry[] {
  return JSON.parse(readFileSync(new URL('index.json', folder), 'utf8')) as IndexEntry[];
}

/** The cases that can be run. Graphs and tensors are made when a case is built. */
export function nodeCases(): readonly BackendCase[] {
  const read = openFixture(new URL('data.safetensors', folder));
  return readIndex()
    .filter(({ name }) => !foreign.test(name))
    .map((entry) => ({
      name: entry.name,
      title: `${entry.operator}, opset ${String(entry.opset)}`,
      tolerance: { relative: entry.rtol, absolute: entry.atol },
      build: () => {
        const graph = decodeOnnx(new Uint8Array(Buffer.from(entry.model, 'base64')));
        const inputs = readValues(graph.inputs, `${entry.name}/input`, read);
        const expected = disputed.has(entry.name) ? evaluateGraph(graph, inputs) : readValues(graph.outputs, `${entry.name}/output`, read);
        return { graph, inputs, expected };
      },
    }));
}

/** The stored tensors in the graph's types: the file holds 4-bit integers as float32. */
function readValues(values: Graph['inputs'], stem: string, read: (name: string) => HostTensor): Record<string, HostTensor> {
  return Object.fromEntries(values.map(({ name, dtype }, position) => [name, castTensor(read(`${stem}_${String(position)}`), dtype)]));
}
