export { type CheckpointTimes } from './checkpoint-clock.js';
export { readCheckpoint, writeCheckpoint, type CheckpointPlace, type ReadCheckpoint, type TrainingState } from './checkpoint.js';
export { train, type StepReport, type TrainingResult, type TrainOptions } from './train.js';
