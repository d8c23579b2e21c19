import { dtypeBytes, elementCount, type DType, type Graph, type GraphNode, type Initializer, type ValueInfo } from '@pare/core';
import { onnxTypeCode } from '@pare/graph';
import { boundaryType } from './boundary-types.js';

/** A graph as a session runs it, and the names it has there. */
export interface SessionGraph {
  readonly graph: Graph;
  /** Session name of each graph input. */
  readonly inputs: ReadonlyMap<string, string>;
  /** Session name of each graph output. */
  readonly outputs: ReadonlyMap<string, string>;
}

/** Gives inputs and outputs of types that the binding cannot pass a stand-in type and a Cast behind it. */
export function adaptBoundary(graph: Graph): SessionGraph {
  const names = usedNames(graph);
  const before: GraphNode[] = [];
  const after: GraphNode[] = [];
  const sessionInputs = new Map<string, string>();
  const sessionOutputs = new Map<string, string>();
  const cast = (from: string, to: string, dtype: DType): GraphNode => ({
    operator: 'Cast',
    domain: '',
    name: unusedName(names, `boundary ${to}`),
    inputs: [from],
    outputs: [to],
    attributes: { to: onnxTypeCode(dtype) },
  });
  const inputs = graph.inputs.map((input): ValueInfo => {
    const dtype = boundaryType(input.dtype);
    const name = dtype === input.dtype ? input.name : unusedName(names, `boundary ${input.name}`);
    sessionInputs.set(input.name, name);
    if (dtype === input.dtype) return input;
    before.push(cast(name, input.name, input.dtype));
    return { name, dtype, shape: input.shape };
  });
  const outputs = graph.outputs.map((output): ValueInfo => {
    const dtype = boundaryType(output.dtype);
    const name = dtype === output.dtype ? output.name : unusedName(names, `boundary ${output.name}`);
    sessionOutputs.set(output.name, name);
    if (dtype === output.dtype) return output;
    after.push(cast(output.name, name, dtype));
    return { name, dtype, shape: output.shape };
  });
  const adapted = before.length + after.length === 0 ? graph : { ...graph, inputs, outputs, nodes: [...before, ...graph.nodes, ...after] };
  return { graph: adapted, inputs: sessionInputs, outputs: sessionOutputs };
}

/** When constants are moved out of a model file. */
export interface FileLimits {
  /** Bytes of constants up to which a graph is one ONNX file. */
  readonly fileBytes: number;
  /** Constants that leave are at least this big: the many small ones steer operators and must stay constants. */
  readonly liftedBytes: number;
}

/** Well below the 2 GiB at which a protobuf message ends. */
export const fileLimits: FileLimits = { fileBytes: 2 ** 30, liftedBytes: 2 ** 20 };

/**
 * Splits a graph whose constants do not fit one ONNX file: the large ones become inputs, which onnxruntime reads as fast as constants.
 * Small graphs come back as they are.
 */
export function liftInitializers(graph: Graph, limits = fileLimits): { readonly graph: Graph; readonly lifted: ReadonlyMap<string, Initializer> } {
  const bytes = (tensor: Initializer): number => dtypeBytes(tensor.dtype, elementCount(tensor.shape));
  let total = 0;
  for (const tensor of graph.initializers.values()) total += bytes(tensor);
  if (total <= limits.fileBytes) return { graph, lifted: new Map() };
  const lifted = new Map([...graph.initializers].filter(([, tensor]) => bytes(tensor) >= limits.liftedBytes));
  const inputs = [...graph.inputs, ...[...lifted].map(([name, tensor]): ValueInfo => ({ name, dtype: tensor.dtype, shape: tensor.shape }))];
  return { graph: { ...graph, inputs, initializers: new Map([...graph.initializers].filter(([name]) => !lifted.has(name))) }, lifted };
}

function usedNames(graph: Graph): Set<string> {
  const names = new Set<string>([...graph.inputs, ...graph.outputs].map((value) => value.name));
  for (const name of graph.initializers.keys()) names.add(name);
  for (const node of graph.nodes) for (const name of [node.name, ...node.inputs, ...node.outputs]) names.add(name);
  return names;
}

function unusedName(names: Set<string>, wish: string): string {
  let name = wish;
  for (let number = 2; names.has(name); number++) name = `${wish} ${String(number)}`;
  names.add(name);
  return name;
}
