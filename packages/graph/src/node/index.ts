export { readOnnxFile, type ReadOnnxOptions } from './read-onnx-file.js';
export { writeOnnxFile, type ExternalDataOptions, type WriteOnnxOptions, type WrittenFile } from './write-onnx-file.js';
