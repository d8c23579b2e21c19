export { GraphBuilder, filledTensor, type GraphBuilderOptions, type NodeOptions, type Value } from './builder.js';
export { inferTypes, type InferenceOptions } from './infer-types.js';
export { operatorKey } from './operators/operator-key.js';
export { type AttributeKind, type AttributeSpec, type OperatorSchema, type ParameterSpec } from './operators/schema.js';
export { isSupportedOperator, operatorNames, operatorSchema, operatorSchemas } from './operators/table.js';
export { dtypeOfOnnxCode, onnxTypeCode } from './types/element-type.js';
export { evaluateDimension } from './types/dimension.js';
export { decodeOnnx, type DecodeOptions } from './onnx/decode.js';
export { encodeOnnx } from './onnx/encode.js';
