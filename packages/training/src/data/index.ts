export { batchOf, windowBatches, type BatchSource, type WindowBatchesOptions } from './batches.js';
export { taskBatches, tasksIdentity, type Task, type TaskBatchesOptions } from './task-batches.js';
export { TrainingOrder, type OrderOptions } from './order.js';
export { pairExamples, readPromptPairs, responseOf, type PromptOptions, type PromptPair } from './prompts.js';
export { packExamples, padExamples, promptExample, type PackingOptions, type PaddingOptions, type TrainingExample, type TrainingWindow } from './windows.js';
