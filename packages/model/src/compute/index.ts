export { countModel, totalMacs, type BlockCompute, type ComputeRequest, type ModelCompute, type ModuleCompute } from './count.js';
