import { createRandom, float32Tensor, int64Tensor, type Backend, type Graph, type GraphNode, type HostTensor, type Initializer, type Model, type ModelRemoval } from '@pare/core';
import { buildDecoderGraph, sliceModel } from '@pare/model';
import { fixtureNames, leakCheckedBackend, openFixture } from '@pare/testkit';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { traceGroups, type DependencyGraph, type DependencyGroup, type Unit } from './index.js';

/* Removing whole groups gives what zeroing their slices gives, exactly but for rounding: the proof that groups are complete and that the smaller model is the right one. */

let backend: Backend;
beforeAll(async () => {
  backend = await leakCheckedBackend();
});
afterAll(async () => {
  await backend[Symbol.asyncDispose]();
});

const [batch, length] = [2, 7];

async function logits(graph: Graph): Promise<Float32Array> {
  await using executable = await backend.compile(graph);
  using scope = backend.scope();
  const random = createRandom(5);
  const ids = int64Tensor([batch, length], Array.from({ length: batch * length }, () => Math.floor(random() * 160)));
  const outputs = await executable.run({ input_ids: scope.own(backend.write(ids)) });
  return (await backend.read(scope.own(outputs['logits']!))).data as Float32Array;
}

async function difference(left: Graph, right: Graph): Promise<number> {
  const [a, b] = [await logits(left), await logits(right)];
  expect(a.length).toBe(b.length);
  const scale = a.reduce((most, value) => Math.max(most, Math.abs(value)), 1);
  return a.reduce((most, value, index) => Math.max(most, Math.abs(value - b[index]!)), 0) / scale;
}

/** The model's graph with the removal's slices set to zero. */
async function zeroed(model: Model, { slices, removed }: Pick<ModelRemoval, 'slices' | 'removed'>): Promise<Graph> {
  const graph = buildDecoderGraph(model.description, model);
  const initializers = new Map<string, Initializer>(graph.initializers);
  const change = async (name: string, edit: (tensor: HostTensor & { readonly data: Float32Array }) => void): Promise<void> => {
    const initializer = initializers.get(name)!;
    const known = 'data' in initializer ? (initializer.data as Float32Array) : new Float32Array((await initializer.read()).slice().buffer);
    const tensor = float32Tensor(initializer.shape, known);
    edit(tensor);
    initializers.set(name, tensor);
  };
  for (const { tensor: name, axis, runs } of slices) {
    await change(name, ({ shape, data }) => {
      const inner = shape.slice(axis + 1).reduce((product, size) => product * size, 1);
      for (let row = 0; row < data.length / (shape[axis]! * inner); row++) {
        for (const { start, length: count } of runs) data.fill(0, (row * shape[axis]! + start) * inner, (row * shape[axis]! + start + count) * inner);
      }
    });
  }
  for (const name of removed) await change(name, ({ data }) => data.fill(0));
  return { ...graph, initializers };
}

const pruned = (model: Model, removal: ModelRemoval): Graph => {
  const smaller = sliceModel(model, removal);
  return buildDecoderGraph(smaller.description, smaller);
};

const asRemoval = ({ slices, removed }: DependencyGroup): ModelRemoval => ({ slices, removed, blocks: [] });

/** The outermost units of an axis that are chosen. */
function unitsOn(groups: DependencyGraph, tensor: string, axis: number, indices: readonly number[]): Unit[] {
  return indices.map((index) => groups.unitsOf(tensor, axis, index)[0]!);
}

describe.each(fixtureNames)('%s', (name) => {
  const withModel = async (work: (model: Model, groups: DependencyGraph) => Promise<void>): Promise<void> => {
    await using model = await openFixture(name);
    await work(model, traceGroups(buildDecoderGraph(model.description)));
  };

  it('heads', () =>
    withModel(async (model, groups) => {
      // A different number in each block, so that nothing hangs on them being equal.
      const units = model.description.blocks.flatMap(({ attention: { output, heads, headSize } }, block) =>
        block === 0 ? [...unitsOn(groups, `${output.module}.weight`, 1, [0])] : unitsOn(groups, `${output.module}.weight`, 1, heads > 4 ? [0, (heads - 1) * headSize] : [(heads - 1) * headSize]),
      );
      const group = groups.group(units);
      expect(group.statistics).toEqual([]);
      expect(await difference(await zeroed(model, group), pruned(model, asRemoval(group)))).toBeLessThan(1e-5);
    }));

  it('query heads of every group', () =>
    withModel(async (model, groups) => {
      const { output, heads, kvHeads, headSize } = model.description.blocks[1]!.attention;
      if (heads === kvHeads) return;
      const place = groups.unitsOf(`${output.module}.weight`, 1, headSize)[1]!;
      const group = groups.group([place]);
      expect(group.slices.map(({ tensor }) => tensor)).not.toContain(expect.stringContaining('k_proj') as string);
      const removal = asRemoval(group);
      expect(sliceModel(model, removal).description.blocks[1]!.attention).toMatchObject({ heads: heads - kvHeads, kvHeads });
      expect(await difference(await zeroed(model, group), pruned(model, removal))).toBeLessThan(1e-5);
    }));

  it('neurons', () =>
    withModel(async (model, groups) => {
      const units = model.modules
        .filter(({ role }) => role === 'mlp.down')
        .flatMap(({ name: module, shape }, place) => unitsOn(groups, `${module}.weight`, 1, place % 2 === 0 ? [0, 3, 4, shape[1] - 1] : [1, 7]));
      const group = groups.group(units);
      expect(group.statistics).toEqual([]);
      expect(await difference(await zeroed(model, group), pruned(model, asRemoval(group)))).toBeLessThan(1e-5);
    }));

  it('channels, with the statistics of norms taken over those that remain', () =>
    withModel(async (model, groups) => {
      const { embedding, hiddenSize } = model.description;
      const group = groups.group(unitsOn(groups, `${embedding.module}.weight`, 1, [0, 5, 6, 7, hiddenSize - 1]));
      const dense = overRemaining(await zeroed(model, group), group, [0, 5, 6, 7, hiddenSize - 1], hiddenSize);
      expect(await difference(dense, pruned(model, asRemoval(group)))).toBeLessThan(1e-5);
    }));

  it('blocks', () =>
    withModel(async (model) => {
      const prefix = `${model.description.blocks[0]!.name}.`;
      // A block adds nothing to the residual stream when what its output projections give is zero.
      const outputs = model.modules.filter(({ name: module, role }) => module.startsWith(prefix) && (role === 'attention.output' || role === 'mlp.down'));
      const removed = outputs.flatMap(({ name: module, bias }) => [`${module}.weight`, ...(bias ? [`${module}.bias`] : [])]);
      const removal: ModelRemoval = { slices: [], removed: [], blocks: [0] };
      const smaller = sliceModel(model, removal);
      expect(smaller.description.blocks.map((block) => block.name)).toEqual([model.description.blocks[0]!.name]);
      expect(await difference(await zeroed(model, { slices: [], removed }), pruned(model, removal))).toBeLessThan(1e-5);
    }));

  it('experts, with the router’s choice among those that remain', () =>
    withModel(async (model, groups) => {
      const { mlp } = model.description.blocks[1]!;
      if (mlp.kind !== 'moe') return;
      const group = groups.group(unitsOn(groups, `${mlp.router.module}.weight`, 0, [1]));
      expect([...group.removed].sort()).toEqual(Object.values(mlp.experts[1]!).map(({ module }) => `${module}.weight`).sort());
      expect(group.slices).toEqual([{ tensor: `${mlp.router.module}.weight`, axis: 0, runs: [{ start: 1, length: 1 }] }]);
      expect(await difference(withoutExpert(await zeroed(model, group), `${mlp.router.module}.weight`, mlp.experts.length, 1), pruned(model, asRemoval(group)))).toBeLessThan(1e-5);
    }));
});

/** The graph with the nodes that the group names computing their statistics over the channels that remain: removed ones are zero, so they only must not be counted. */
function overRemaining(graph: Graph, group: DependencyGroup, removed: readonly number[], size: number): Graph {
  const initializers = new Map(graph.initializers);
  const mask = float32Tensor([size], Float32Array.from({ length: size }, (_, index) => (removed.includes(index) ? 0 : 1)));
  initializers.set('kept', mask);
  initializers.set('share', float32Tensor([], Float32Array.of(1 / (size - removed.length))));
  initializers.set('last', int64Tensor([1], [-1]));
  const nodes = graph.nodes.flatMap((node): GraphNode[] => {
    if (!group.statistics.includes(node.name)) return [node];
    const add = (operator: string, inputs: readonly string[], output: string, attributes = {}): GraphNode => ({ operator, domain: '', name: output, inputs, outputs: [output], attributes });
    const at = (part: string): string => `${node.name}.${part}`;
    const mean = (input: string, output: string): GraphNode[] => [add('ReduceSum', [input, 'last'], at(`${output}.sum`), { keepdims: 1 }), add('Mul', [at(`${output}.sum`), 'share'], output)];
    if (node.operator === 'ReduceMean') return mean(node.inputs[0]!, node.outputs[0]!);
    expect(node.operator).toBe('LayerNormalization');
    const [x, scale, bias] = node.inputs as [string, string, string];
    initializers.set(at('epsilon'), float32Tensor([], Float32Array.of(node.attributes['epsilon'] as number)));
    return [
      ...mean(x, at('mean')),
      add('Sub', [x, at('mean')], at('shifted')),
      add('Mul', [at('shifted'), 'kept'], at('centred')),
      add('Mul', [at('centred'), at('centred')], at('square')),
      ...mean(at('square'), at('variance')),
      add('Add', [at('variance'), at('epsilon')], at('safe')),
      add('Sqrt', [at('safe')], at('root')),
      add('Div', [at('centred'), at('root')], at('normal')),
      add('Mul', [at('normal'), scale], at('scaled')),
      add('Add', [at('scaled'), bias], node.outputs[0]!),
    ];
  });
  return { ...graph, initializers, nodes };
}

/** The graph with an expert's score so low that softmax gives it nothing. */
function withoutExpert(graph: Graph, router: string, experts: number, expert: number): Graph {
  const transposed = graph.nodes.find(({ inputs }) => inputs.includes(router))!.outputs[0]!;
  const product = graph.nodes.find(({ inputs }) => inputs.includes(transposed))!;
  const [output] = product.outputs as [string];
  const nodes = graph.nodes.flatMap((node): GraphNode[] =>
    node === product
      ? [
          { ...node, outputs: [`${output}.scores`] },
          { operator: 'Add', domain: '', name: `${output}.without`, inputs: [`${output}.scores`, 'without'], outputs: [output], attributes: {} },
        ]
      : [node],
  );
  const without = float32Tensor([experts], Float32Array.from({ length: experts }, (_, index) => (index === expert ? -1e30 : 0)));
  return { ...graph, initializers: new Map([...graph.initializers, ['without', without]]), nodes };
}
