import { nearest, pareError, type Graph, type GraphNode, type ValueInfo } from '@pare/core';
import { GraphBuilder, type Value } from '../builder.js';
import { inferValues } from '../infer-types.js';
import { inlineGraph } from '../inline.js';
import { mergeEqualNodes } from '../merge-equal-nodes.js';
import { canonicalDomain, operatorKey } from '../operators/operator-key.js';
import { nodeError, nodeLabel, type TypedValue } from '../operators/schema.js';
import { operatorSchema } from '../operators/table.js';
import { floats } from '../operators/types.js';
import { removeUnused } from '../remove-unused.js';
import { simplifyTransposes } from '../simplify-transposes.js';
import { joinPieces } from './pieces.js';
import { isPiece, type Contribution, type GradientContext, type GradientPiece } from './rule.js';
import { fitGradient, zerosLike } from './shapes.js';
import { gradientRules } from './table.js';

export interface GradientOptions {
  /** Values to differentiate, usually a scalar loss. Of several, their sum is. */
  readonly of: string | readonly string[];
  /** Inputs, initializers or values computed by the graph. Output `gradient.<name>` has the type and shape of `<name>`. */
  readonly withRespectTo: readonly string[];
  /**
   * By value of `of`, the name of a new graph input of its type and shape: the gradient of whatever follows with respect to that value. The result is then the vector–Jacobian
   * product. A value without one must be a scalar, and its gradient is 1.
   */
  readonly cotangents?: Readonly<Record<string, string>> | undefined;
  /** Outputs of the graph that the result computes, too; none by default. */
  readonly outputs?: readonly string[] | undefined;
  /** Values that count as constants. */
  readonly stopGradient?: readonly string[] | undefined;
  /**
   * Straight-through estimates (Bengio et al., arXiv 1308.3432, §4): the gradient of each value named here goes unchanged to the value it is mapped to, whatever lies between the
   * two. A rounded weight mapped to the weight learns as if it had not been rounded.
   */
  readonly straightThrough?: Readonly<Record<string, string>> | undefined;
}

/**
 * A graph that computes gradients of another one by reverse-mode differentiation. It takes the inputs of the graph (and the cotangents), holds as much of the forward pass as
 * the gradients need, and uses ordinary operators only. Symbolic sizes stay symbolic.
 *
 * Gradients flow through float values. Where a maximum is shared by several elements they get equal parts; rounding and comparing pass nothing on. A value on which nothing of
 * `of` depends gets zeros.
 * @throws PARE_GRADIENT_UNAVAILABLE naming all operators on the way that have no rule; PARE_GRAPH_INVALID for unknown names, a value that is no float, and nodes whose form a rule
 * does not cover
 */
export function gradientGraph(graph: Graph, options: GradientOptions): Graph {
  const values = inferValues(graph);
  const request = checkRequest(graph, values, options);
  const flow = findFlow(graph, values, request);
  const builder = new GraphBuilder(`${graph.name}.gradient`, { opsets: graph.opsets });
  const placed = placeForward(builder, graph, values, request);

  const sums = new GradientSums(builder, graph, placed);
  for (const name of request.of) sums.add(name, seed(builder, graph, values, name, request.cotangents[name]));
  for (let index = graph.nodes.length - 1; index >= 0; index--) {
    const node = graph.nodes[index]!;
    for (const output of node.outputs) {
      const source = request.straightThrough[output];
      const gradient = source === undefined ? undefined : sums.of(output);
      if (gradient !== undefined) sums.add(source!, gradient);
    }
    if (flow.nodes.has(node)) addNode(builder, graph, values, placed, sums, node, flow, request);
  }

  for (const name of request.outputs) builder.output(placed.get(name)!, name);
  for (const name of request.withRespectTo) builder.output(sums.of(name) ?? zerosLike(builder, placed.get(name)!), gradientName(name));
  return removeUnused(mergeEqualNodes(simplifyTransposes(removeUnused(builder.build()))));
}

/** Name of the output that holds the gradient with respect to a value. */
export function gradientName(value: string): string {
  return `gradient.${value}`;
}

interface Request {
  readonly of: readonly string[];
  readonly withRespectTo: readonly string[];
  readonly cotangents: Readonly<Record<string, string>>;
  readonly outputs: readonly string[];
  readonly stopped: ReadonlySet<string>;
  readonly straightThrough: Readonly<Record<string, string>>;
}

function invalid(graph: Graph, name: string, problem: string): never {
  throw pareError('PARE_GRAPH_INVALID', { graph: graph.name, node: `value "${name}"`, problem });
}

function checkRequest(graph: Graph, values: ReadonlyMap<string, TypedValue>, options: GradientOptions): Request {
  const { withRespectTo, cotangents = {}, outputs = [], stopGradient = [], straightThrough = {} } = options;
  const of = typeof options.of === 'string' ? [options.of] : options.of;
  const order = new Map([...values.keys()].map((name, index) => [name, index]));
  const known = (name: string): TypedValue => {
    const near = nearest(name, [...values.keys()]);
    return values.get(name) ?? invalid(graph, name, `there is none of this name${near === undefined ? '' : `; did you mean "${near}"?`}`);
  };
  for (const name of [...of, ...withRespectTo, ...Object.entries(straightThrough).flat()]) {
    const { dtype } = known(name);
    if (!floats.includes(dtype)) invalid(graph, name, `it is ${dtype}; only ${floats.join(', ')} have gradients`);
  }
  for (const name of [...stopGradient, ...outputs]) known(name);
  for (const name of Object.keys(cotangents)) if (!of.includes(name)) invalid(graph, name, 'it has a cotangent and is not differentiated');
  for (const [output, source] of Object.entries(straightThrough)) {
    const [from, to] = [known(output).shape, known(source).shape];
    if (order.get(source)! >= order.get(output)!) invalid(graph, source, `a gradient cannot go straight to it from "${output}", which comes before it`);
    if (from?.join() !== to?.join()) invalid(graph, output, `it has shape [${from?.join(', ') ?? '?'}], its straight-through source "${source}" [${to?.join(', ') ?? '?'}]`);
  }
  return { of, withRespectTo: [...new Set(withRespectTo)], cotangents, outputs, stopped: new Set(stopGradient), straightThrough };
}

interface Flow {
  /** Values that depend on something of `withRespectTo`. */
  readonly active: ReadonlySet<string>;
  /** Nodes through which a gradient goes. */
  readonly nodes: ReadonlySet<GraphNode>;
}

/** Where gradients go: forward from what they are taken with respect to, then backward from what is differentiated. */
function findFlow(graph: Graph, values: ReadonlyMap<string, TypedValue>, { of, withRespectTo, stopped, straightThrough }: Request): Flow {
  const active = new Set(withRespectTo);
  const carries = (name: string): boolean => name !== '' && active.has(name) && !stopped.has(name);
  for (const node of graph.nodes) {
    const through = node.inputs.some(carries);
    for (const output of node.outputs) {
      if (output === '' || !floats.includes(values.get(output)!.dtype)) continue;
      const source = straightThrough[output];
      if (source === undefined ? through : carries(source)) active.add(output);
    }
  }
  const reached = new Set(of.filter(carries));
  const nodes = new Set<GraphNode>();
  const missing: string[] = [];
  for (let index = graph.nodes.length - 1; index >= 0; index--) {
    const node = graph.nodes[index]!;
    let ordinary = false;
    for (const output of node.outputs) {
      if (!reached.has(output)) continue;
      const source = straightThrough[output];
      if (source === undefined) ordinary = true;
      else if (carries(source)) reached.add(source);
    }
    if (!ordinary || !node.inputs.some(carries)) continue;
    nodes.add(node);
    if (!gradientRules.has(operatorKey(node.operator, node.domain))) missing.unshift(nodeLabel(node));
    for (const input of node.inputs) if (carries(input)) reached.add(input);
  }
  if (missing.length > 0) throw pareError('PARE_GRADIENT_UNAVAILABLE', { graph: graph.name, nodes: missing });
  return { active, nodes };
}

/** The forward pass in the builder: every value of the graph by its name there. */
function placeForward(builder: GraphBuilder, graph: Graph, values: ReadonlyMap<string, TypedValue>, { cotangents }: Request): Map<string, Value> {
  const inputs = Object.fromEntries(graph.inputs.map(({ name, dtype, shape }) => [name, builder.input(name, dtype, shape ?? invalid(graph, name, 'an input of unknown rank cannot be differentiated'))]));
  for (const name of Object.values(cotangents)) if (values.has(name)) invalid(graph, name, 'a cotangent needs a name that the graph does not use');
  const everything = [...values].map(([name, { dtype, shape }]): ValueInfo => ({ name, dtype, shape }));
  return new Map(Object.entries(inlineGraph(builder, { ...graph, outputs: everything }, inputs)));
}

function seed(builder: GraphBuilder, graph: Graph, values: ReadonlyMap<string, TypedValue>, name: string, cotangent: string | undefined): Value {
  const { dtype, shape } = values.get(name)!;
  if (cotangent !== undefined) return builder.input(cotangent, dtype, shape ?? invalid(graph, name, 'its rank is unknown'));
  if (shape?.every((size) => size === 1) !== true) invalid(graph, name, `it has shape [${shape?.join(', ') ?? '?'}]; what is differentiated is a scalar, or has a cotangent`);
  return builder.scalar(1, dtype);
}

/** Gradients under construction: contributions by value, added up when first asked for. */
class GradientSums {
  readonly #builder: GraphBuilder;
  readonly #graph: Graph;
  readonly #placed: ReadonlyMap<string, Value>;
  readonly #parts = new Map<string, (Value | GradientPiece)[]>();

  constructor(builder: GraphBuilder, graph: Graph, placed: ReadonlyMap<string, Value>) {
    this.#builder = builder;
    this.#graph = graph;
    this.#placed = placed;
  }

  add(name: string, contribution: Value | GradientPiece, node?: GraphNode): void {
    const fail = (problem: string): never => (node === undefined ? invalid(this.#graph, name, problem) : this.#fail(node, problem));
    const part = isPiece(contribution) ? contribution : fitGradient(this.#builder, contribution, this.#placed.get(name)!, fail);
    const parts = this.#parts.get(name);
    if (parts === undefined) this.#parts.set(name, [part]);
    else parts.push(part);
  }

  /** The sum for a value, undefined when nothing contributed. Asked for after all that read the value. */
  of(name: string): Value | undefined {
    const parts = this.#parts.get(name);
    if (parts === undefined) return undefined;
    const pieces = parts.filter(isPiece);
    const whole = parts.filter((part): part is Value => !isPiece(part));
    if (pieces.length > 0) whole.push(joinPieces(this.#builder, pieces, this.#placed.get(name)!));
    const sum = whole.reduce((left, right) => this.#builder.add(left, right));
    this.#parts.set(name, [sum]);
    return sum;
  }

  #fail(node: GraphNode, problem: string): never {
    throw nodeError(this.#graph.name, node, problem);
  }
}

/** Applies a node's rule. */
function addNode(
  builder: GraphBuilder,
  graph: Graph,
  values: ReadonlyMap<string, TypedValue>,
  placed: ReadonlyMap<string, Value>,
  sums: GradientSums,
  node: GraphNode,
  { active }: Flow,
  { stopped, straightThrough }: Request,
): void {
  const gradients = node.outputs.map((name) => (name === '' || straightThrough[name] !== undefined ? undefined : sums.of(name)));
  if (gradients.every((gradient) => gradient === undefined)) return;
  const rule = gradientRules.get(operatorKey(node.operator, node.domain))!;
  const contributions = rule(contextOf(builder, graph, values, placed, node, gradients));
  for (const [index, name] of node.inputs.entries()) {
    if (name === '' || !active.has(name) || stopped.has(name)) continue;
    const contribution: Contribution = contributions[index]?.();
    if (contribution !== undefined) sums.add(name, contribution, node);
  }
}

function contextOf(
  builder: GraphBuilder,
  graph: Graph,
  values: ReadonlyMap<string, TypedValue>,
  placed: ReadonlyMap<string, Value>,
  node: GraphNode,
  gradients: readonly (Value | undefined)[],
): GradientContext {
  const fail = (problem: string): never => {
    throw nodeError(graph.name, node, problem);
  };
  const place = (name: string): Value | undefined => (name === '' ? undefined : placed.get(name));
  const inputs = node.inputs.map(place);
  const schema = operatorSchema(node.operator, node.domain)!;
  const attribute: GradientContext['attribute'] = (name) => node.attributes[name] ?? schema.attributes[name]?.default;
  const axis: GradientContext['axis'] = (value, rank) => (value >= -rank && value < rank ? (value + rank) % rank : fail(`axis ${String(value)} is outside [${String(-rank)}, ${String(rank - 1)}]`));
  return {
    builder,
    node,
    opset: graph.opsets[canonicalDomain(node.domain)] ?? 1,
    inputs,
    outputs: node.outputs.map(place),
    gradients,
    get gradient() {
      const other = gradients.findIndex((gradient, index) => index > 0 && gradient !== undefined);
      if (other > 0) fail(`has no gradient through output ${String(other)}`);
      return gradients[0]!;
    },
    input: (index) => inputs[index] ?? fail(`input ${String(index)} is required`),
    shape: (value) => value.shape ?? fail(`the rank of "${value.name}" must be known to differentiate it`),
    numbers: (index) => {
      const known = values.get(node.inputs[index] ?? '')?.value;
      return known?.every((element) => typeof element === 'number') ? (known as readonly number[]) : undefined;
    },
    int: (name) => attribute(name) as number,
    float: (name) => attribute(name) as number,
    string: (name) => attribute(name) as string,
    ints: (name) => attribute(name) as readonly number[] | undefined,
    attribute,
    axis,
    fail,
  };
}
