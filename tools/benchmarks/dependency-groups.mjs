/* Dependency groups of a 32-layer Llama-7B-shaped graph, without weights: building the graph, tracing it, and the group of every neuron, head and channel. Limit: 2 s. */
import llamaArchitecture from '@pare/architecture-llama';
import { traceGroups } from '@pare/dependency-groups';
import { buildDecoderGraph } from '@pare/model';
import { round, table } from './lib.mjs';

const sizes = { hidden_size: 4096, intermediate_size: 11008, num_hidden_layers: 32, num_attention_heads: 32, vocab_size: 32000 };
const description = llamaArchitecture.describe({ model_type: 'llama', max_position_embeddings: 2048, hidden_act: 'silu', rms_norm_eps: 1e-6, ...sizes });

/** Wall and processor seconds so far. */
const now = () => [performance.now() / 1000, process.cpuUsage().user / 1e6];
const started = now();
const graph = buildDecoderGraph(description);
const built = now();
const groups = traceGroups(graph);
const traced = now();
let count = 0;
for (const axis of groups.axes) {
  if (axis.fixed.length > 0) continue;
  for (let index = 0; index < axis.size; index++) count += groups.group([{ axis, index }]).slices.length > 0 ? 1 : 0;
}
const listed = now();
const row = (step, from, to) => [step, ...to.map((seconds, index) => round(seconds - from[index], 3))];
table([
  ['step', 'seconds', 'processor seconds'],
  row(`build the graph (${graph.nodes.length} nodes)`, started, built),
  row('trace it', built, traced),
  row(`list all ${count} groups`, traced, listed),
  row('together', started, listed),
]);
