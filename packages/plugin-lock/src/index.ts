export { compareLock, type LockDifference } from './compare-lock.js';
export { createLock, type LockablePlugin } from './create-lock.js';
export { formatLock, lockFileName, parseLock, type LockedPackage, type PluginLock } from './lock-file.js';
export { hashFolder } from './hash-folder.js';
export { hashCode, pluginCode, type CodedPlugin, type PluginCode } from './plugin-code.js';
export { requireLock } from './require-lock.js';
