export { safetensorsTypes, type ByteType } from './dtypes.js';
export { maximumHeaderBytes, type SafetensorsEntry } from './header.js';
export { requireDiskSpace } from './disk.js';
export { requireFinite } from './finite.js';
export { SafetensorsFile } from './safetensors-file.js';
export { TensorStore } from './tensor-store.js';
export { bytesOf, tensorEntry, writeSafetensors, type TensorEntry, type WriteOptions, type WrittenTensorFile } from './safetensors-writer.js';
export { defaultShardBytes, writeShardedSafetensors, type ShardedWriteOptions } from './sharded-writer.js';
