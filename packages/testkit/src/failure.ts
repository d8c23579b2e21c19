import { isPareError, type PareError } from '@pare/core';

/** The `PareError` that an action ends with, for tests of refusals. @throws what else it ends with, and an Error when it ends well */
export async function failure(action: Promise<unknown>): Promise<PareError> {
  const error: unknown = await action.then(
    () => new Error('nothing was refused'),
    (thrown: unknown) => thrown,
  );
  if (!isPareError(error)) throw error;
  return error;
}
