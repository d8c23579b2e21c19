export { DeviceOptimizer, type DeviceOptimizerOptions } from './device-optimizer.js';
export { adamW, sgd, type AdamWOptions, type Optimizer, type OptimizerStep, type SgdOptions } from './optimizer.js';
export { schedule, type Schedule, type ScheduleOptions } from './schedule.js';
