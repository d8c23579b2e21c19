export { createSha256, defaultFiles, isRunning, processId, sampleMemory } from '#system';
export { copyFile, type FilePlace } from './copy-file.js';
export { FileSystemError } from './file-system-error.js';
export type { Sha256, System } from './system.js';
export { memoryFiles } from './memory-files.js';
export { mountFiles } from './mount-files.js';
export { posixPaths } from './posix-paths.js';
export { storageFiles } from './browser/storage-files.js';
