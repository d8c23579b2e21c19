export { createBlockRunner, type BlockRunner, type BlockRunnerOptions } from './block-runner.js';
export type { RunnerProgress, RunnerTask } from './context.js';
export type { StatisticRequest } from './collect.js';
export { CollectedStatistics } from './collected-statistics.js';
export { HiddenStates, type HiddenStatesOptions } from './hidden-states.js';
export { chunkWindows, type WindowChunk } from './windows.js';
export { greedyGenerate } from './generate.js';
