import type { NodeOnly } from './node-only.js';

export { importFile, locate, packageOf } from './packages.js';

/** The hub library is large: it is loaded when a model is not a folder. */
export const resolveModel: NodeOnly['resolveModel'] = async (model, options) => (await import('@pare/model/node')).resolveModel(model, options);
