import { float32Tensor, type DType, type Graph, type GraphNode, type Initializer } from '@pare/core';
import { dtypeOfOnnxCode, inferTypes, onnxTypeCode } from '@pare/graph';
import { missingKernel } from './missing-kernels.js';

const floats: readonly (DType | undefined)[] = ['float64', 'float32', 'float16', 'bfloat16'];

/**
 * Replaces what onnxruntime lacks or does otherwise by operators that it has:
 * - operators on bfloat16 work in float32 between casts, as onnxruntime itself does for float16; each result is rounded to bfloat16;
 * - casts of floats to 4-bit integers saturate, as ONNX's cases show, where onnxruntime wraps around.
 */
export function rewriteForSession(graph: Graph): Graph {
  const types = inferTypes(graph);
  const rewriter = new Rewriter(graph);
  for (const node of graph.nodes) {
    const target = node.operator === 'Cast' && node.domain === '' ? dtypeOfOnnxCode(node.attributes['to'] as number) : undefined;
    if ((target === 'int4' || target === 'uint4') && floats.includes(types.get(node.inputs[0]!)?.dtype)) rewriter.saturateCast(node, target);
    else if (missingKernel(node, types)?.dtype === 'bfloat16') rewriter.widen(node, (name) => types.get(name)?.dtype === 'bfloat16');
    else rewriter.keep(node);
  }
  return rewriter.result();
}

class Rewriter {
  readonly #graph: Graph;
  readonly #names: Set<string>;
  readonly #nodes: GraphNode[] = [];
  readonly #constants = new Map<string, Initializer>();
  readonly #wide = new Map<string, string>();
  #changed = false;

  constructor(graph: Graph) {
    this.#graph = graph;
    this.#names = new Set([...graph.inputs.map((input) => input.name), ...graph.initializers.keys(), ...graph.nodes.flatMap((node) => [node.name, ...node.outputs])]);
  }

  keep(node: GraphNode): void {
    this.#nodes.push(node);
  }

  /** `node` on float32 stand-ins of its values for which `isNarrow` holds. */
  widen(node: GraphNode, isNarrow: (name: string) => boolean): void {
    const inputs = node.inputs.map((name) => {
      if (!isNarrow(name)) return name;
      const known = this.#wide.get(name);
      if (known !== undefined) return known;
      const wide = this.#emit('Cast', [name], { to: onnxTypeCode('float32') });
      this.#wide.set(name, wide);
      return wide;
    });
    const narrowed = node.outputs.map((name) => (isNarrow(name) ? { name, wide: this.#unused(`${name} in float32`) } : undefined));
    this.#nodes.push({ ...node, inputs, outputs: node.outputs.map((name, index) => narrowed[index]?.wide ?? name) });
    for (const output of narrowed) if (output !== undefined) this.#emit('Cast', [output.wide], { to: onnxTypeCode('bfloat16') }, output.name);
    this.#changed = true;
  }

  /** A cast of floats to 4-bit integers that takes values beyond the range to its ends. */
  saturateCast(node: GraphNode, target: 'int4' | 'uint4'): void {
    const [low, high] = target === 'int4' ? [-8, 7] : [0, 15];
    const wide = this.#emit('Cast', [node.inputs[0]!], { to: onnxTypeCode('float32') });
    const inside = this.#emit('Clip', [wide, this.#constant(low), this.#constant(high)]);
    this.#emit('Cast', [inside], { to: onnxTypeCode(target) }, node.outputs[0]);
    this.#changed = true;
  }

  result(): Graph {
    if (!this.#changed) return this.#graph;
    return { ...this.#graph, nodes: this.#nodes, initializers: new Map([...this.#graph.initializers, ...this.#constants]) };
  }

  #emit(operator: string, inputs: readonly string[], attributes: GraphNode['attributes'] = {}, output = this.#unused(operator)): string {
    this.#nodes.push({ operator, domain: '', name: this.#unused(`${operator} of session`), inputs, outputs: [output], attributes });
    return output;
  }

  #constant(value: number): string {
    const name = this.#unused(`constant ${String(value)}`);
    this.#constants.set(name, float32Tensor([], [value]));
    return name;
  }

  #unused(wish: string): string {
    let name = wish;
    for (let number = 2; this.#names.has(name); number++) name = `${wish} ${String(number)}`;
    this.#names.add(name);
    return name;
  }
}
