import type { DType, GraphNode, ValueType } from '@pare/core';

/** Element types at certain inputs for which onnxruntime's CPU provider has no kernel. */
export interface MissingKernels {
  readonly operators: readonly string[];
  /** Positions of the inputs whose type selects the kernel. */
  readonly inputs: readonly number[];
  readonly dtypes: readonly DType[];
}

/**
 * What onnxruntime 1.30 lacks at opset 21, found by creating a session for every operator of the ONNX node cases with every element type
 * (`tools/benchmarks/cpu-kernels.mjs` repeats the search). float16 is rarely missing: onnxruntime computes it in float32 between casts.
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

const byOperator = new Map(missing.flatMap((entry) => entry.operators.map((operator) => [operator, entry] as const)));

/** The element type for which `node` has no kernel, and the input that has it; undefined when it has one. */
export function missingKernel(node: GraphNode, types: ReadonlyMap<string, ValueType>): { readonly dtype: DType; readonly input: number } | undefined {
  if (node.domain !== '' && node.domain !== 'ai.onnx') return undefined;
  const entry = byOperator.get(node.operator);
  for (const input of entry?.inputs ?? []) {
    const dtype = types.get(node.inputs[input] ?? '')?.dtype;
    if (dtype !== undefined && entry!.dtypes.includes(dtype)) return { dtype, input };
  }
  return undefined;
}
