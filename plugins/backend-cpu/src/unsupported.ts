import { type DType, type Graph, type GraphNode, type UnsupportedOperator, type ValueType } from '@pare/core';
import { inferTypes } from '@pare/graph';

/** Element types at certain inputs for which onnxruntime's CPU provider has no kernel. */
interface MissingKernels {
  readonly operators: readonly string[];
  /** Positions of the inputs whose type selects the kernel. */
  readonly inputs: readonly number[];
  readonly dtypes: readonly DType[];
}

/**
 * What onnxruntime 1.30 lacks at opset 21, found by creating a session for every operator of the ONNX node cases with every element type
 * (`tools/bench/cpu-kernels.mjs` repeats the search). float16 is rarely missing: onnxruntime computes it in float32 between casts.
 */
const missing: readonly MissingKernels[] = [
  { operators: ['Abs', 'BatchNormalization', 'Exp', 'Expand', 'Gelu', 'Log', 'LogSoftmax', 'Neg', 'Reciprocal', 'Sigmoid', 'Softmax', 'Sqrt', 'Tanh', 'Tile'], inputs: [0], dtypes: ['bfloat16'] },
  { operators: ['Add', 'Div', 'Equal', 'Greater', 'GreaterOrEqual', 'Less', 'LessOrEqual', 'MatMul', 'Mod', 'Mul', 'Pow', 'Sub', 'Sum'], inputs: [0, 1], dtypes: ['bfloat16'] },
  { operators: ['ReduceL2', 'ReduceMax', 'ReduceMean', 'ReduceMin', 'ReduceProd', 'ReduceSum', 'ReduceSumSquare', 'CumSum'], inputs: [0], dtypes: ['bfloat16', 'uint64', 'uint32'] },
  { operators: ['Flatten', 'Reshape', 'Squeeze', 'Unsqueeze'], inputs: [0], dtypes: ['int4', 'uint4'] },
  { operators: ['AveragePool', 'Conv', 'GlobalAveragePool'], inputs: [0], dtypes: ['float64'] },
  { operators: ['Max', 'Min'], inputs: [0], dtypes: ['bfloat16', 'int16', 'uint16'] },
  { operators: ['ArgMax'], inputs: [0], dtypes: ['bfloat16', 'int16', 'uint64', 'uint32', 'uint16'] },
  { operators: ['Clip'], inputs: [0], dtypes: ['int16', 'uint16'] },
  { operators: ['DequantizeLinear'], inputs: [1], dtypes: ['bfloat16'] },
  { operators: ['Erf'], inputs: [0], dtypes: ['float64', 'bfloat16'] },
  { operators: ['Gemm'], inputs: [0], dtypes: ['bfloat16', 'int64', 'int32', 'uint64', 'uint32'] },
  { operators: ['Pad'], inputs: [0], dtypes: ['bfloat16', 'int16', 'int4', 'uint16', 'uint4'] },
  { operators: ['QLinearMatMul'], inputs: [1, 4, 6], dtypes: ['bfloat16'] },
  { operators: ['QuantizeLinear'], inputs: [0, 1], dtypes: ['bfloat16', 'int32'] },
  { operators: ['Relu'], inputs: [0], dtypes: ['bfloat16', 'int64', 'int16'] },
  { operators: ['TopK'], inputs: [0], dtypes: ['uint64', 'uint32', 'uint16'] },
  { operators: ['Where'], inputs: [1], dtypes: ['bfloat16', 'int16', 'int8', 'uint64', 'uint32', 'uint16', 'bool'] },
];

const missingByOperator = new Map<string, MissingKernels[]>();
for (const entry of missing) for (const operator of entry.operators) missingByOperator.set(operator, [...(missingByOperator.get(operator) ?? []), entry]);

/** Operators of ONNX's own set in `graph` that have no kernel for their types, or one that computes something else. */
export function unsupportedOperators(graph: Graph): UnsupportedOperator[] {
  const types = inferTypes(graph);
  const found: UnsupportedOperator[] = [];
  for (const node of graph.nodes) {
    const reason = node.domain === '' || node.domain === 'ai.onnx' ? missingReason(node, types) ?? wrongReason(node, types) : undefined;
    if (reason !== undefined) found.push({ operator: node.operator, domain: node.domain, node: node.name, reason });
  }
  return found;
}

function missingReason(node: GraphNode, types: ReadonlyMap<string, ValueType>): string | undefined {
  for (const { inputs, dtypes } of missingByOperator.get(node.operator) ?? []) {
    for (const position of inputs) {
      const dtype = types.get(node.inputs[position] ?? '')?.dtype;
      if (dtype !== undefined && dtypes.includes(dtype)) return `onnxruntime has no CPU kernel for ${dtype} at input ${String(position)}`;
    }
  }
  return undefined;
}

/** Kernels that give other results than the operator's definition, shown by ONNX's node cases. */
function wrongReason(node: GraphNode, types: ReadonlyMap<string, ValueType>): string | undefined {
  if (node.operator === 'QLinearMatMul' && types.get(node.inputs[0] ?? '')?.dtype === 'int8') {
    return 'onnxruntime saturates products of int8 by int8; uint8 activations are right';
  }
  if (node.operator === 'AveragePool' && node.attributes['ceil_mode'] === 1 && node.attributes['count_include_pad'] === 1) {
    return 'onnxruntime divides windows that reach beyond the padding by too small a count';
  }
  return undefined;
}
