/*
 * node tools/benchmarks/cpu-kernels.mjs: finds the element types for which onnxruntime's CPU provider has no kernel, by creating a session for
 * every operator of the ONNX node cases with every type at every input. Build first. The table in plugins/backend-cpu/src/unsupported.ts
 * is made from what this prints; run it again when onnxruntime is updated.
 */
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dtypes } from '@pare/core';
import { decodeOnnx, encodeOnnx, inferTypes } from '@pare/graph';

const ort = createRequire(new URL('../../plugins/backend-cpu/package.json', import.meta.url))('onnxruntime-node');
const cases = JSON.parse(readFileSync(new URL('../../packages/conformance/fixtures/onnx-node-tests/index.json', import.meta.url), 'utf8'));

/** The graph with every value of type `from` among inputs and outputs turned into `to`, and outputs as inferred; undefined when the operator's definition forbids it. */
function retyped(graph, from, to) {
  const swap = (value) => (value.dtype === from ? { ...value, dtype: to } : value);
  try {
    const changed = { ...graph, inputs: graph.inputs.map(swap), outputs: [] };
    const types = inferTypes(changed);
    return { ...changed, outputs: graph.outputs.map(({ name }) => ({ name, ...types.get(name) })) };
  } catch {
    return undefined;
  }
}

/** operator → input position → types that were lacking in every case tried. */
const lacking = new Map();
const seen = new Set();
for (const { model } of cases) {
  let graph;
  try {
    graph = decodeOnnx(Buffer.from(model, 'base64'));
  } catch {
    continue; // Sequences, optionals and float8 are outside the subset.
  }
  if (graph.nodes.length !== 1) continue;
  const [node] = graph.nodes;
  for (const [position, input] of graph.inputs.entries()) {
    const key = [node.operator, graph.inputs.length, position, input.dtype].join();
    if (seen.has(key)) continue;
    seen.add(key);
    const missing = new Set();
    for (const dtype of dtypes) {
      const candidate = retyped(graph, input.dtype, dtype);
      if (candidate === undefined) continue;
      try {
        const session = await ort.InferenceSession.create(encodeOnnx(candidate), { logSeverityLevel: 4, intraOpNumThreads: 1 });
        await session.release();
      } catch (error) {
        if (/Could not find an implementation/.test(error.message)) missing.add(dtype);
      }
    }
    const slot = node.inputs.indexOf(input.name);
    const positions = lacking.get(node.operator) ?? new Map();
    lacking.set(node.operator, positions);
    const before = positions.get(slot);
    positions.set(slot, before === undefined ? missing : new Set([...before].filter((dtype) => missing.has(dtype))));
  }
}
for (const [operator, positions] of [...lacking].sort(([a], [b]) => a.localeCompare(b))) {
  for (const [position, missing] of positions) if (missing.size > 0) process.stdout.write(`${operator} input ${position}: ${[...missing].join(' ')}\n`);
}
