import { throwIfAborted, type Model } from '@pare/core';
import { buildBlockGraph } from '../decoder/block-graph.js';
import { blockAt, compileByLength, constantsOf, loadWeights, type RunnerContext } from './context.js';
import { joinOutputs, runOrHalve } from './halving.js';
import type { HiddenStates } from './hidden-states.js';

/** hidden ← block(hidden), chunk by chunk; each chunk's old states are freed when its new ones are there. */
export async function advance(context: RunnerContext, index: number, hidden: HiddenStates, source: Model): Promise<void> {
  const { backend, signal } = context;
  const block = blockAt(context, index);
  if (hidden.chunks.length === 0) return;
  const compiled = await compileByLength(context, block, hidden, source, 'forward', buildBlockGraph);
  using scope = backend.scope();
  const weights = await loadWeights(context, block, compiled(0).graph, source, scope);
  for (const chunk of hidden.chunks.keys()) {
    throwIfAborted(signal, 'the forward pass');
    const { executable, graph } = compiled(chunk);
    const inputs = { ...weights, ...constantsOf(context, graph) };
    const { output } = await hidden.use(chunk, (tensor) => runOrHalve(context, executable, inputs, tensor, () => ({}), (first, second) => joinOutputs(context, first, second)));
    await hidden.replace(chunk, output!);
    context.report('advance', chunk + 1, hidden.chunks.length);
  }
}
