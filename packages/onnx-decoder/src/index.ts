export { dtypeNames, dtypeSuffixes, findOnnxFiles, onnxFileName, onnxFileParts, type DtypeName, type OnnxFile } from './find-files.js';
export { OnnxDecoder, type OnnxDecoderOptions, type OnnxRuntimeModule } from './onnx-decoder.js';
