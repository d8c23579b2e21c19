import type { Graph } from '@pare/core';

/** The graph without the nodes and initializers that no output depends on. Inputs stay: they are the graph's interface. */
export function removeUnused(graph: Graph): Graph {
  const needed = new Set(graph.outputs.map((output) => output.name));
  const kept = new Array<boolean>(graph.nodes.length).fill(false);
  for (let index = graph.nodes.length - 1; index >= 0; index--) {
    const node = graph.nodes[index]!;
    if (!node.outputs.some((output) => needed.has(output))) continue;
    kept[index] = true;
    for (const input of node.inputs) needed.add(input);
  }
  return {
    ...graph,
    initializers: new Map([...graph.initializers].filter(([name]) => needed.has(name))),
    nodes: graph.nodes.filter((_, index) => kept[index]),
  };
}
