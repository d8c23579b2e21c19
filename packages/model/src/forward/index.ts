export { createBlockRunner, sharedChunkTokens, type BlockRunner, type BlockRunnerOptions } from './block-runner.js';
export type { RunnerProgress, RunnerTask } from './context.js';
export type { StatisticRequest } from './collect.js';
export { CollectedStatistics } from './collected-statistics.js';
export { HiddenStates, type HiddenStatesOptions } from './hidden-states.js';
export { checkVocabularies, compareHeads, type ComparedModel, type HeadComparisonOptions, type WindowComparison } from './compare-heads.js';
export { createBlockComparison, type BlockComparison, type BlockComparisonOptions, type BlockError } from './block-comparison.js';
export { chunkWindows, type WindowChunk } from './windows.js';
export { greedyGenerate } from './generate.js';
