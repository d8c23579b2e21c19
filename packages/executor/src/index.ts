export type { KernelBuffer, KernelDevice } from './kernel-device.js';
export type { DeviceTraits, Dispatch, KernelSource, Operand, Program, Routine } from './program.js';
export type {
  AttentionRequest,
  MatMulRequest,
  NormalizationRequest,
  QuantizedMatMulRequest,
  RoutineTable,
  SoftmaxRequest,
  TopKRequest,
} from './routines.js';
