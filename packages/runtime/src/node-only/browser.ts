import { pareError } from '@pare/core';
import type { NodeOnly } from './node-only.js';

/** A page bundles its plugins: no package can be looked up by name. */
export const locate: NodeOnly['locate'] = () => Promise.resolve(undefined);

export const importFile: NodeOnly['importFile'] = (url) => Promise.reject(new Error(`a page cannot import ${url}`));

export const packageOf: NodeOnly['packageOf'] = () => Promise.resolve(undefined);

export const resolveModel: NodeOnly['resolveModel'] = (model) => Promise.reject(pareError('PARE_MODEL_NOT_FOUND', { model, reason: 'there is no such folder' }));
