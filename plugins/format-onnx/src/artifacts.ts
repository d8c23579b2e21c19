import { pareError, throwIfAborted, type Artifact, type ArtifactReader, type ArtifactRequest } from '@pare/core';
import { basename, dirname } from 'node:path';

/** ONNX decoders as they run in onnxruntime on the processor. Everything is loaded when it is needed: importing the format must stay quick. */
export const onnxArtifacts: ArtifactReader = {
  extensions: ['.onnx'],
  folderOf(file) {
    const folder = dirname(file);
    return basename(folder) === 'onnx' ? dirname(folder) : folder;
  },
  async find(directory) {
    const { findOnnxFiles } = await import('@pare/onnx-decoder');
    return (await findOnnxFiles(directory)).map(({ path, dtype }) => ({ file: path, name: dtype }));
  },
  async filesOf(file) {
    const { onnxFileParts } = await import('@pare/onnx-decoder');
    return onnxFileParts(file);
  },
  async open({ file, model, signal }: ArtifactRequest): Promise<Artifact> {
    throwIfAborted(signal, `opening ${file}`);
    const [runtime, { OnnxDecoder }, { decoderPredictor }] = await Promise.all([import('onnxruntime-node'), import('@pare/onnx-decoder'), import('@pare/evaluation')]);
    const { vocabularySize, maxPositions } = model.description;
    try {
      const decoder = await OnnxDecoder.open(runtime, { file, vocabularySize, maxPositions });
      return { predictor: decoderPredictor(decoder), [Symbol.asyncDispose]: () => decoder[Symbol.asyncDispose]() };
    } catch (error) {
      throw pareError('PARE_ONNX_UNUSABLE', { file, reason: error instanceof Error ? error.message : String(error) }, error);
    }
  },
};
