import { throwIfAborted, type Model } from '@pare/core';
import type { HostCore } from './plugin-context.js';

/**
 * Reads every dense tensor of the source once, so that a checkpoint with NaN or infinities is refused before the work and not when its last block is
 * reached, hours later. Costs one pass over the files; the model remembers what it found finite.
 * @throws PARE_WEIGHT_NOT_FINITE
 */
export async function checkWeights(model: Model, core: HostCore, signal: AbortSignal): Promise<void> {
  // Codes are integers; their scales are checked when they are read.
  const compressed = new Set(model.modules.filter(({ form }) => form !== 'dense').map(({ name }) => `${name}.weight`));
  const names = model.tensors.map(({ name }) => name).filter((name) => !compressed.has(name));
  for (const [index, name] of names.entries()) {
    throwIfAborted(signal, 'checking weights');
    await model.tensor(name);
    core.emit('progress', { task: 'check weights', completed: index + 1, total: names.length, unit: 'tensors', detail: name });
  }
}
