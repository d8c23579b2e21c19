import type { PackagedPlugin } from '@pare/runtime';

type Load = () => Promise<{ readonly default: PackagedPlugin['plugin'] }>;

/** Backends that the page can compute on. Each says itself how well it would serve here; `auto` takes the best. */
const backends: Readonly<Record<string, Load>> = {
  '@pare/backend-webgpu': () => import('@pare/backend-webgpu'),
  '@pare/backend-reference': () => import('@pare/backend-reference'),
};

/** Everything else the host is made of. */
const others: Readonly<Record<string, Load>> = {
  '@pare/architecture-llama': () => import('@pare/architecture-llama'),
  '@pare/architecture-gpt2': () => import('@pare/architecture-gpt2'),
  '@pare/architecture-gpt-neox': () => import('@pare/architecture-gpt-neox'),
  '@pare/architecture-opt': () => import('@pare/architecture-opt'),
  '@pare/technique-awq': () => import('@pare/technique-awq'),
  '@pare/technique-gptq': () => import('@pare/technique-gptq'),
  '@pare/technique-rtn': () => import('@pare/technique-rtn'),
  '@pare/technique-magnitude': () => import('@pare/technique-magnitude'),
  '@pare/technique-sparsegpt': () => import('@pare/technique-sparsegpt'),
  '@pare/technique-wanda': () => import('@pare/technique-wanda'),
  '@pare/preset-standard': () => import('@pare/preset-standard'),
  '@pare/format-hf': () => import('@pare/format-hf'),
  '@pare/evaluator-perplexity': () => import('@pare/evaluator-perplexity'),
  '@pare/evaluator-size': () => import('@pare/evaluator-size'),
};

/** All plugins with the names of their packages, which the record of a run keeps. */
export function loadPlugins(): Promise<PackagedPlugin[]> {
  return Promise.all(
    Object.entries({ ...backends, ...others }).map(async ([name, load]) => ({ plugin: (await load()).default, package: name, version: __PARE_VERSION__ })),
  );
}
