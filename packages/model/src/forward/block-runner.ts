import type { Backend, HostTensor, MlpDescription, Model } from '@pare/core';
import { advance } from './advance.js';
import { collect, type StatisticRequest } from './collect.js';
import type { CollectedStatistics } from './collected-statistics.js';
import type { RunnerContext, RunnerProgress } from './context.js';
import { checkWindowLengths, deviceEmbedding, embedChunk, readEmbeddingTables, type EmbeddingTables } from './embed.js';
import { ExecutableCache } from './executables.js';
import { HiddenStates } from './hidden-states.js';
import { logits, negativeLogLikelihood } from './likelihood.js';
import { readOnce, spread } from './spread.js';
import { createTrials, type HeldTrials } from './trials.js';
import { chunkWindows } from './windows.js';

const mebibyte = 2 ** 20;

export interface BlockRunnerOptions {
  readonly model: Model;
  readonly backend: Backend;
  /** Devices that passes over the windows use beside it, the backend's own by default; none for callers that look at hidden states themselves. */
  readonly peers?: readonly Backend[] | undefined;
  readonly signal?: AbortSignal | undefined;
  /** Tokens computed at once (whole windows, at least one): 2048 by default, fewer for wide models, whose intermediate values stay below 64 MiB each; more on devices that say so. */
  readonly chunkTokens?: number | undefined;
  /** Bytes of hidden states above which they wait in a temporary file; 1 GiB by default, or what the devices take in memory of their own where that is more. */
  readonly spillBytes?: number | undefined;
  /** Folder of that file among the model's files; the one for temporary files by default. */
  readonly spillDirectory?: string | undefined;
  /** Bytes that logits may take at once; 32 MiB by default, small enough to stay near the processor, or what the device says of one value. */
  readonly logitsBytes?: number | undefined;
  readonly onProgress?: ((progress: RunnerProgress) => void) | undefined;
}

/**
 * Runs a model block by block over fixed windows. At any time one block's weights and a few windows' intermediate values are on the device, whatever the
 * model's depth. Weights come from `source` where it is given (the model with some of them replaced), else from the model; compressed ones are multiplied out to
 * float32, once per block and pass. Every method stops between chunks when the signal fires (PARE_ABORTED) and then leaves nothing of its own on the device.
 */
export interface BlockRunner extends AsyncDisposable {
  /** First hidden states of windows. The caller disposes them. @throws PARE_TOKEN_OUT_OF_RANGE, PARE_WINDOW_TOO_LONG */
  embed(windows: readonly Int32Array[], source?: Model): Promise<HiddenStates>;
  /**
   * Statistics of the inputs of a block's modules, in one pass over the hidden states, which stay as they are. The caller disposes the result.
   * @throws PARE_STATISTIC_UNKNOWN for a ref without a definition, PARE_MODULE_UNKNOWN
   */
  collect(block: number, hidden: HiddenStates, requests: readonly StatisticRequest[], source?: Model): Promise<CollectedStatistics>;
  /** Trials of a block with other weights, on about so many tokens of the hidden states, which stay as they are. The caller disposes them, before the states. */
  trials(block: number, hidden: HiddenStates, tokens: number, source?: Model): HeldTrials;
  /** hidden ← block(hidden), in place. After an error some chunks are ahead of others: dispose the states. */
  advance(block: number, hidden: HiddenStates, source?: Model): Promise<void>;
  /** −log p(token t + 1 | tokens 0 … t) in nats from the last block's output, length − 1 values a window. Logits never leave the device. */
  negativeLogLikelihood(hidden: HiddenStates, windows: readonly Int32Array[], source?: Model): Promise<Float64Array[]>;
  /** Logits of every position from the last block's output, a float32 tensor [windows, length, vocabulary] for each chunk. For short texts: it is large. */
  logits(hidden: HiddenStates, source?: Model): Promise<HostTensor[]>;
  /** The same one chunk after another: a chunk's are held at a time. */
  eachLogits(hidden: HiddenStates, source?: Model): AsyncIterable<HostTensor>;
}

/** Makes a runner. Nothing is read or compiled before it is used. */
export function createBlockRunner(options: BlockRunnerOptions): BlockRunner {
  const { model, backend, signal, peers = backend.peers ?? [] } = options;
  const { separate } = backend.device;
  const {
    logitsBytes = separate?.valueBytes ?? 32 * mebibyte,
    chunkTokens = defaultChunkTokens(model, separate?.valueBytes),
    spillBytes = Math.max(1024 * mebibyte, (separate?.statesBytes ?? 0) * (1 + peers.length)),
  } = options;
  const contexts = [backend, ...peers].map(
    (device): RunnerContext => ({
      model,
      backend: device,
      signal,
      executables: new ExecutableCache(device),
      constants: new Map(),
      experts: undefined,
      report: (task, completed, total) => options.onProgress?.({ task, completed, total }),
    }),
  );
  const context = contexts[0]!;
  return {
    async embed(windows, source = model) {
      const { description } = model;
      checkWindowLengths(description, windows);
      // Each device has a share, if there are so many windows.
      const share = Math.ceil(windows.reduce((sum, { length }) => sum + length, 0) / contexts.length);
      const hidden = new HiddenStates({
        backend,
        peers,
        hiddenSize: description.hiddenSize,
        chunks: chunkWindows(windows, Math.min(chunkTokens, share)),
        spillBytes,
        files: model.files,
        spillDirectory: options.spillDirectory,
      });
      try {
        const shared = readOnce(source, contexts, hidden);
        let tables: Promise<EmbeddingTables> | undefined;
        await spread(contexts, hidden, { task: 'embed', what: 'embedding' }, async ({ context: part, chunks, begin, end }) => {
          using onDevice = hidden.spilled ? undefined : await deviceEmbedding(part, model, shared, windows);
          for (const index of chunks) {
            begin();
            const chunk = hidden.chunks[index]!;
            if (onDevice !== undefined) await hidden.replace(index, await onDevice.chunk(chunk));
            else await hidden.write(index, embedChunk(description, await (tables ??= readEmbeddingTables(source)), windows, chunk));
            end();
          }
        });
        return hidden;
      } catch (error) {
        await hidden[Symbol.asyncDispose]();
        throw error;
      }
    },
    collect: (block, hidden, requests, source = model) => collect(contexts, block, hidden, requests, source),
    trials: (block, hidden, tokens, source = model) => createTrials(context, block, hidden, tokens, source),
    advance: (block, hidden, source = model) => advance(contexts, block, hidden, source),
    negativeLogLikelihood: (hidden, windows, source = model) => negativeLogLikelihood(contexts, hidden, windows, source, logitsBytes),
    async logits(hidden, source = model) {
      const results: HostTensor[] = [];
      for await (const tensor of logits(context, hidden, source)) results.push(tensor);
      return results;
    },
    eachLogits: (hidden, source = model) => logits(context, hidden, source),
    async [Symbol.asyncDispose]() {
      for (const { constants, executables } of contexts) {
        for (const tensor of constants.values()) tensor[Symbol.dispose]();
        constants.clear();
        await executables[Symbol.asyncDispose]();
      }
    },
  };
}

/** Chunk size that suits all of some models, for hidden states that are to be compared. */
export function sharedChunkTokens(...models: readonly Model[]): number {
  return Math.min(...models.map((model) => defaultChunkTokens(model)));
}

/**
 * Products of about 2000 rows run at full speed on a processor; more only take memory.
 * @param valueBytes what a device with memory of its own gives to one value: as many rows as it holds, up to where nothing is gained any more
 */
export function defaultChunkTokens({ description }: Model, valueBytes?: number): number {
  const widest = Math.max(description.hiddenSize, ...description.blocks.map(({ mlp }) => innerSize(mlp)));
  return Math.max(1, Math.min(valueBytes === undefined ? 2048 : 16_384, Math.floor((valueBytes ?? 64 * mebibyte) / (4 * widest))));
}

/** Width of an MLP's widest intermediate value. */
function innerSize(mlp: MlpDescription): number {
  switch (mlp.kind) {
    case 'plain':
    case 'gated':
      return mlp.up.outFeatures;
    case 'gated-fused':
      return mlp.gateUp.outFeatures;
    case 'moe':
      return Math.max(...mlp.experts.map((expert) => expert.up.outFeatures));
  }
}
