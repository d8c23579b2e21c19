import type { Plugin, PluginKind } from '@pare/core';
import type { PackagedPlugin } from '@pare/runtime';
import { createRequire } from 'node:module';
import { dirname } from 'node:path';

/** A first-party plugin that comes with the command. Its package is imported only when a host needs it. */
export interface BundledPlugin {
  readonly kind: PluginKind;
  readonly package: string;
  /** Ids of the plugins in the package, for shell completion without an import; empty where they are many. */
  readonly ids: readonly string[];
  readonly load: () => Promise<{ readonly default: Plugin | readonly Plugin[] }>;
}

/** The default set. `pare.config.ts` adds to it. */
export const bundledPlugins: readonly BundledPlugin[] = [
  { kind: 'architecture', package: '@pare/architecture-llama', ids: [], load: () => import('@pare/architecture-llama') },
  { kind: 'architecture', package: '@pare/architecture-gpt2', ids: [], load: () => import('@pare/architecture-gpt2') },
  { kind: 'architecture', package: '@pare/architecture-gpt-neox', ids: [], load: () => import('@pare/architecture-gpt-neox') },
  { kind: 'architecture', package: '@pare/architecture-opt', ids: [], load: () => import('@pare/architecture-opt') },
  { kind: 'backend', package: '@pare/backend-cpu', ids: ['cpu'], load: () => import('@pare/backend-cpu') },
  { kind: 'backend', package: '@pare/backend-cuda', ids: ['cuda'], load: () => import('@pare/backend-cuda') },
  { kind: 'backend', package: '@pare/backend-reference', ids: ['reference'], load: () => import('@pare/backend-reference') },
  { kind: 'backend', package: '@pare/backend-webgpu', ids: ['webgpu'], load: () => import('@pare/backend-webgpu') },
  { kind: 'evaluator', package: '@pare/evaluator-compute', ids: ['compute'], load: () => import('@pare/evaluator-compute') },
  { kind: 'evaluator', package: '@pare/evaluator-divergence', ids: ['divergence'], load: () => import('@pare/evaluator-divergence') },
  { kind: 'evaluator', package: '@pare/evaluator-latency', ids: ['latency'], load: () => import('@pare/evaluator-latency') },
  { kind: 'evaluator', package: '@pare/evaluator-layer-error', ids: ['layer-error'], load: () => import('@pare/evaluator-layer-error') },
  { kind: 'evaluator', package: '@pare/evaluator-memory', ids: ['memory'], load: () => import('@pare/evaluator-memory') },
  { kind: 'evaluator', package: '@pare/evaluator-generation', ids: ['generation'], load: () => import('@pare/evaluator-generation') },
  { kind: 'evaluator', package: '@pare/evaluator-multiple-choice', ids: ['multiple-choice'], load: () => import('@pare/evaluator-multiple-choice') },
  { kind: 'evaluator', package: '@pare/evaluator-perplexity', ids: ['perplexity'], load: () => import('@pare/evaluator-perplexity') },
  { kind: 'evaluator', package: '@pare/evaluator-size', ids: ['size'], load: () => import('@pare/evaluator-size') },
  { kind: 'evaluator', package: '@pare/evaluator-sparsity', ids: ['sparsity'], load: () => import('@pare/evaluator-sparsity') },
  { kind: 'format', package: '@pare/format-awq', ids: ['awq'], load: () => import('@pare/format-awq') },
  { kind: 'format', package: '@pare/format-gptq', ids: ['gptq'], load: () => import('@pare/format-gptq') },
  { kind: 'format', package: '@pare/format-hf', ids: ['hf'], load: () => import('@pare/format-hf') },
  { kind: 'format', package: '@pare/format-onnx', ids: ['onnx'], load: () => import('@pare/format-onnx') },
  { kind: 'preset', package: '@pare/preset-standard', ids: [], load: () => import('@pare/preset-standard') },
  { kind: 'technique', package: '@pare/technique-cot-distillation', ids: ['cot-distillation'], load: () => import('@pare/technique-cot-distillation') },
  { kind: 'technique', package: '@pare/technique-distill-logits', ids: ['distill-logits'], load: () => import('@pare/technique-distill-logits') },
  { kind: 'technique', package: '@pare/technique-distill-sequence', ids: ['distill-sequence'], load: () => import('@pare/technique-distill-sequence') },
  { kind: 'technique', package: '@pare/technique-gkd', ids: ['gkd'], load: () => import('@pare/technique-gkd') },
  { kind: 'technique', package: '@pare/technique-gptq', ids: ['gptq'], load: () => import('@pare/technique-gptq') },
  { kind: 'technique', package: '@pare/technique-llm-pruner', ids: ['llm-pruner'], load: () => import('@pare/technique-llm-pruner') },
  { kind: 'technique', package: '@pare/technique-magnitude', ids: ['magnitude'], load: () => import('@pare/technique-magnitude') },
  { kind: 'technique', package: '@pare/technique-minillm', ids: ['minillm'], load: () => import('@pare/technique-minillm') },
  { kind: 'technique', package: '@pare/technique-rtn', ids: ['rtn'], load: () => import('@pare/technique-rtn') },
  { kind: 'technique', package: '@pare/technique-smoothquant', ids: ['smoothquant'], load: () => import('@pare/technique-smoothquant') },
  { kind: 'technique', package: '@pare/technique-sparsegpt', ids: ['sparsegpt'], load: () => import('@pare/technique-sparsegpt') },
  { kind: 'technique', package: '@pare/technique-svd', ids: ['svd'], load: () => import('@pare/technique-svd') },
  { kind: 'technique', package: '@pare/technique-svd-llm', ids: ['svd-llm'], load: () => import('@pare/technique-svd-llm') },
  { kind: 'technique', package: '@pare/technique-awq', ids: ['awq'], load: () => import('@pare/technique-awq') },
  { kind: 'technique', package: '@pare/technique-tensorgpt', ids: ['tensorgpt'], load: () => import('@pare/technique-tensorgpt') },
  { kind: 'technique', package: '@pare/technique-wanda', ids: ['wanda'], load: () => import('@pare/technique-wanda') },
];

/** Imports the default set, or the kinds asked for, each with its package's name and version. */
export async function loadBundledPlugins(kinds?: readonly PluginKind[]): Promise<PackagedPlugin[]> {
  const require = createRequire(import.meta.url);
  return Promise.all(
    bundledPlugins
      .filter(({ kind }) => kinds === undefined || kinds.includes(kind))
      .map(async (bundled) => {
        const manifest = `${bundled.package}/package.json`;
        return {
          plugin: (await bundled.load()).default,
          package: bundled.package,
          version: (require(manifest) as { version: string }).version,
          folder: dirname(require.resolve(manifest)),
        };
      }),
  );
}
