import { isPareError, throwIfAborted } from './errors.js';
import type { ModuleInfo } from './model.js';
import type { ModuleHandle, TechniqueContext } from './technique.js';

/** Does a technique's work on one module; errors that name no module get its name. */
export async function inModule<T>({ info }: { readonly info: Pick<ModuleInfo, 'name'> }, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (isPareError(error)) error.place = { module: info.name, ...error.place };
    throw error;
  }
}

/**
 * Takes the modules of a call one after another, tells how far it is, and stops between two of them when the signal fires.
 * @param what named when it does: `rounding`
 * @throws PARE_ABORTED
 */
export async function eachModule<O>(
  { modules, signal, progress }: Pick<TechniqueContext<O>, 'modules' | 'signal' | 'progress'>,
  what: string,
  work: (module: ModuleHandle<O>) => Promise<void>,
): Promise<void> {
  for (const [index, module] of modules.entries()) {
    throwIfAborted(signal, what);
    progress.report({ completed: index, total: modules.length, unit: 'modules', detail: module.info.name });
    await inModule(module, () => work(module));
  }
  progress.report({ completed: modules.length, total: modules.length, unit: 'modules' });
}
