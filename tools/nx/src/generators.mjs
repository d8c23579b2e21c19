import { createPluginPackage } from './plugin-package.mjs';

/** @typedef {import('./plugin-package.mjs').PluginPackageOptions} Options */
/** @typedef {import('@nx/devkit').Tree} Tree */

/** A technique that prunes one weight at a time, or one that quantizes blocks with statistics of their inputs. @param {Tree} tree @param {Options} options */
export const technique = (tree, options) => createPluginPackage(tree, 'technique', options);

/** An evaluator that reads weights. @param {Tree} tree @param {Options} options */
export const evaluator = (tree, options) => createPluginPackage(tree, 'evaluator', options);

/** A backend that runs operators one by one on host arrays. @param {Tree} tree @param {Options} options */
export const backend = (tree, options) => createPluginPackage(tree, 'backend', options);

/** A format that writes a file for each weight. @param {Tree} tree @param {Options} options */
export const format = (tree, options) => createPluginPackage(tree, 'format', options);

/** An architecture with gated MLPs and rotary positions. @param {Tree} tree @param {Options} options */
export const architecture = (tree, options) => createPluginPackage(tree, 'architecture', options);
