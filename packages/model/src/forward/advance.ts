import type { Model } from '@pare/core';
import { buildBlockGraph } from '../decoder/block-graph.js';
import { blockAt, compileByLength, constantsOf, loadWeights, type RunnerContext } from './context.js';
import { joinOutputs, runOrHalve } from './halving.js';
import type { HiddenStates } from './hidden-states.js';
import { readOnce, spread } from './spread.js';

/** hidden ← block(hidden), chunk by chunk; each chunk's old states are freed when its new ones are there. */
export async function advance(contexts: readonly RunnerContext[], index: number, hidden: HiddenStates, source: Model): Promise<void> {
  const shared = readOnce(source, contexts, hidden);
  await spread(contexts, hidden, { task: 'advance', what: 'the forward pass' }, async ({ context, chunks, begin, end }) => {
    const { backend } = context;
    const block = blockAt(context, index);
    const compiled = await compileByLength(context, block, hidden, source, 'forward', buildBlockGraph);
    using scope = backend.scope();
    const weights = await loadWeights(context, block, compiled(0).graph, shared, scope);
    for (const chunk of chunks) {
      begin();
      const { executable, graph } = compiled(chunk);
      const inputs = { ...weights, ...constantsOf(context, graph) };
      const { output } = await hidden.use(chunk, (tensor) => runOrHalve(context, executable, inputs, tensor, () => ({}), (first, second) => joinOutputs(context, first, second)), backend);
      await hidden.replace(chunk, output!);
      end();
    }
  });
}
