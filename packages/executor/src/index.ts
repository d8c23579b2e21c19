export { devicePrograms, type DevicePrograms, type ProgramBuffer, type ProgramRunner } from './device-programs.js';
export { codeField, createDeviceColumnSolver, type ColumnSolverKernels, type ResidentKernels } from './device-column-solver.js';
export { kernelError, kernelKey } from './kernel-source.js';
export { uniformWords, type Float } from './uniforms.js';
export { mergedRows } from './routines.js';
export type { DeviceTraits, Dispatch, KernelSource, Operand, Program, Routine } from './program.js';
export type {
  AttentionRequest,
  MatMulRequest,
  Narrowing,
  NarrowRequest,
  NormalizationRequest,
  QuantizedMatMulRequest,
  RoutineTable,
  SoftmaxRequest,
  TopKRequest,
} from './routines.js';
export type { BoundOperand, DeviceBuffer, KernelDevice, KernelLayout, Launch, PreparedKernel } from './device.js';
export { ExecutorBackend, type ExecutorBackendOptions } from './backend.js';
export { findFallbacks } from './lowering/fallbacks.js';
export { foldWorkgroups, type GeneratedKernel, type KernelLanguage, type LineKernel, type MapKernel, type PrintedKernel, type ReduceKernel } from './kernels/generated.js';
export type { Dialect } from './printing/dialect.js';
export { ExpressionPrinter } from './printing/expression-printer.js';
export {
  children,
  position,
  scalarTypeOf,
  type Binary,
  type BinaryOperator,
  type BufferReference,
  type Convert,
  type Expression,
  type Load,
  type Loop,
  type Narrow,
  type Reduction,
  type ScalarType,
  type Select,
  type Unary,
  type UnaryOperator,
  type Variable,
} from './expression/expression.js';
