import { pareError, type TargetModule } from '@pare/core';

/**
 * The options of a stage that trains the model as a whole, where overrides for some modules mean nothing.
 * @throws PARE_OPTIONS_DIFFER
 */
export function sharedOptions<O>(targets: readonly TargetModule<O>[]): O {
  const [first] = targets;
  if (first === undefined) throw new RangeError('a stage without targets');
  const other = targets.find((target) => JSON.stringify(target.options) !== JSON.stringify(first.options));
  if (other !== undefined) throw pareError('PARE_OPTIONS_DIFFER', { module: other.info.name, first: first.info.name });
  return first.options;
}
