import { pareError, throwIfAborted, type Artifact, type ArtifactReader, type ArtifactRequest } from '@pare/core';
import { decoderPredictor } from '@pare/evaluation';
import { findOnnxFiles, onnxFileParts, OnnxDecoder } from '@pare/onnx-decoder';
import { basename, dirname } from 'node:path';

/** ONNX decoders as they run in onnxruntime on the processor. */
export const onnxArtifacts: ArtifactReader = {
  extensions: ['.onnx'],
  folderOf(file) {
    const folder = dirname(file);
    return basename(folder) === 'onnx' ? dirname(folder) : folder;
  },
  async find(directory) {
    return (await findOnnxFiles(directory)).map(({ path, dtype }) => ({ file: path, name: dtype }));
  },
  filesOf: (file) => onnxFileParts(file),
  async open({ file, model, signal }: ArtifactRequest): Promise<Artifact> {
    throwIfAborted(signal, `opening ${file}`);
    const runtime = await import('onnxruntime-node');
    const { vocabularySize, maxPositions } = model.description;
    try {
      const decoder = await OnnxDecoder.open(runtime, { file, vocabularySize, maxPositions });
      return { predictor: decoderPredictor(decoder), [Symbol.asyncDispose]: () => decoder[Symbol.asyncDispose]() };
    } catch (error) {
      throw pareError('PARE_ONNX_UNUSABLE', { file, reason: error instanceof Error ? error.message : String(error) }, error);
    }
  },
};
