import { dtypeBits, type ModulePlan, type SparsityPattern, type TargetModule } from '@pare/core';
import { prunedByGroups, sparseBits } from '@pare/weights';

/** How many weights of a matrix a technique prunes. */
export interface PlannedPruning {
  readonly pattern: SparsityPattern;
  /** For the unstructured pattern; N:M patterns prune their share. */
  readonly pruned: number;
  /** True when `pruned` depends on the weights. */
  readonly estimated?: boolean | undefined;
  readonly flops: number;
  /** Bytes for each weight while the module is worked on, beside the weight as stored. */
  readonly bytesPerWeight: number;
}

/** The plan of a module whose kept weights stay as they are: dense in their type, or quantized by a stage before. */
export function planPruned({ info, before }: TargetModule<unknown>, { pattern, pruned: unstructured, estimated, flops, bytesPerWeight }: PlannedPruning): ModulePlan {
  const weights = info.shape[0] * info.shape[1];
  const pruned = pattern.kind === 'grouped' ? prunedByGroups(info.shape, pattern) : unstructured;
  const written = before === undefined ? weights * dtypeBits(info.dtype) : (before.writtenBits ?? before.storedBits);
  return {
    module: info.name,
    produces: 'sparse',
    storedBits: sparseBits(info.shape, pattern, pruned, before?.bits ?? dtypeBits(info.dtype), written),
    writtenBits: written,
    estimated: estimated === true && pattern.kind === 'unstructured' ? true : undefined,
    sparsity: { pattern, pruned },
    bits: before?.bits,
    groupSize: before?.groupSize,
    symmetric: before?.symmetric,
    groupIndex: before?.groupIndex,
    input: before === undefined ? info.input : before.input,
    flops,
    workingBytes: weights * (dtypeBits(info.dtype) / 8 + bytesPerWeight),
  };
}
