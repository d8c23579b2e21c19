import type { BackendCase } from '../backend-case.js';
import { awkwardShapes, given, propertyCase, shapeText, values } from './property-case.js';

/** Cases of operators that move elements. */
export const movementCases: readonly BackendCase[] = [
  propertyCase('shapes_Identity', 'Identity of awkward shapes', ({ graph, feed, expect }) => {
    for (const shape of awkwardShapes) expect(`of ${shapeText(shape)}`, graph.op('Identity', [feed(values(shape))]));
  }),
  propertyCase('orders_Transpose', 'Transpose of up to six axes', ({ graph, feed, expect }) => {
    for (const [shape, perm] of [
      [
        [70001, 3],
        [1, 0],
      ],
      [
        [2, 3, 4, 5],
        [0, 2, 1, 3],
      ],
      [
        [2, 3, 1, 5, 2, 3],
        [5, 0, 3, 1, 4, 2],
      ],
      [
        [0, 3],
        [1, 0],
      ],
      [[7], [0]],
    ] as const) {
      expect(`of ${shapeText(shape)} by ${shapeText(perm)}`, graph.transpose(feed(values(shape)), perm));
    }
  }),
  propertyCase('parts_Concat_Split', 'Concat and Split with empty and uneven parts', ({ graph, feed, expect }) => {
    const parts = [
      [3, 2],
      [3, 0],
      [3, 5],
    ].map((shape, index) => feed(values(shape, -2, 2, 'float32', index)));
    const joined = graph.concat(parts, 1);
    expect('joined', joined);
    graph.split(joined, 1, [1, 0, 4, 2]).forEach((part, index) => {
      expect(`part ${String(index)}`, part);
    });
    expect('many', graph.concat([feed(values([70001, 1])), feed(values([70001, 2]))], 1));
  }),
  propertyCase('steps_Slice', 'Slice with negative steps, open ends and empty results', ({ graph, feed, expect }) => {
    const x = feed(values([7, 9]));
    const slice = (starts: number[], ends: number[], axes: number[], steps: number[]) =>
      graph.op('Slice', [x, ...[starts, ends, axes, steps].map((list) => graph.int64(list))]);
    expect('backwards', slice([6, -1], [-100, 0], [0, 1], [-2, -3]));
    expect('beyond the end', slice([2], [Number.MAX_SAFE_INTEGER], [1], [2]));
    expect('nothing', slice([5], [5], [0], [1]));
  }),
  propertyCase('modes_Pad', 'Pad of every mode, cropping included', ({ graph, feed, expect }) => {
    const x = feed(values([3, 5]));
    for (const mode of ['constant', 'reflect', 'edge']) expect(mode, graph.op('Pad', [x, graph.int64([1, 2, 0, 3])], { mode }));
    expect('crop', graph.op('Pad', [x, graph.int64([-1, 1, 0, -2]), graph.scalar(9)], { mode: 'constant' }));
  }),
  propertyCase('shapes_Expand_Tile', 'Expand and Tile to many elements', ({ graph, feed, expect }) => {
    expect('a scalar', graph.expand(feed(values([])), [70001]));
    expect('a column', graph.expand(feed(values([3, 1])), [2, 3, 257]));
    expect('one-sided', graph.expand(feed(values([3, 4])), [1]));
    expect('tiles', graph.op('Tile', [feed(values([3, 5])), graph.int64([2, 3])]));
    expect('no tiles', graph.op('Tile', [feed(values([3, 5])), graph.int64([0, 3])]));
  }),
  propertyCase('shapes_Reshape_Squeeze', 'Reshape to and from scalars, Squeeze, Unsqueeze, Flatten', ({ graph, feed, expect }) => {
    const scalar = feed(values([]));
    expect('to a vector', graph.reshape(scalar, [1]));
    expect('to a scalar', graph.reshape(feed(values([1, 1])), []));
    expect('with the rest', graph.reshape(feed(values([2, 3, 4])), [0, -1]));
    expect('squeezed', graph.squeeze(feed(values([1, 3, 1])), [0, -1]));
    expect('unsqueezed', graph.unsqueeze(scalar, [0, 1]));
    expect('flat', graph.op('Flatten', [feed(values([2, 3, 4]))], { axis: 2 }));
    expect('shape', graph.shapeOf(feed(values([2, 0, 70001]))));
  }),
  propertyCase('positions_Gather', 'Gather by scalars, negative indices, empty and long lists', ({ graph, feed, expect }) => {
    const table = feed(values([11, 6]));
    expect('a row', graph.gather(table, feed(given('int64', [], [-1]))));
    expect('columns', graph.gather(table, feed(given('int64', [2, 2], [0, 5, -6, 3])), 1));
    expect('none', graph.gather(table, feed(given('int64', [0], []))));
    const many = Array.from({ length: 70001 }, (_, index) => (index * 7) % 11);
    expect('many', graph.gather(table, feed(given('int64', [70001], many))));
    expect('by int32', graph.gather(table, feed(given('int32', [2], [3, 3]))));
  }),
  propertyCase('positions_GatherElements_GatherND', 'GatherElements along each axis, GatherND with batches', ({ graph, feed, expect }) => {
    const x = feed(values([3, 4]));
    expect('rows', graph.op('GatherElements', [x, feed(given('int64', [2, 4], [0, 2, -1, 1, 1, 1, 0, -3]))], { axis: 0 }));
    expect('columns', graph.op('GatherElements', [x, feed(given('int64', [3, 1], [3, -4, 0]))], { axis: 1 }));
    expect('tuples', graph.op('GatherND', [x, feed(given('int64', [3, 2], [0, 0, 2, 3, -1, -1]))]));
    expect('in batches', graph.op('GatherND', [feed(values([2, 3, 4])), feed(given('int64', [2, 1], [2, 0]))], { batch_dims: 1 }));
  }),
  propertyCase('positions_Scatter', 'ScatterElements and ScatterND, repeated positions included', ({ graph, feed, expect }) => {
    const x = feed(values([4, 3]));
    const updates = feed(values([3, 3], -2, 2, 'float32', 5));
    const rows = feed(given('int64', [3, 1], [2, 0, -1]));
    expect('rows', graph.op('ScatterND', [x, rows, updates]));
    expect('added', graph.op('ScatterND', [x, feed(given('int64', [3, 1], [1, 1, 1])), updates], { reduction: 'add' }));
    expect('elements', graph.op('ScatterElements', [x, feed(given('int64', [3, 3], [0, 1, 2, 1, 2, 3, 2, 3, 0])), updates], { axis: 0 }));
  }),
  propertyCase('diagonals_Trilu', 'Trilu of batches of odd matrices', ({ graph, feed, expect }) => {
    const x = feed(values([2, 37, 41]));
    for (const [upper, k] of [
      [1, 0],
      [0, 0],
      [1, 1],
      [0, -5],
      [1, 100],
    ] as const) {
      expect(`upper ${String(upper)}, k ${String(k)}`, graph.op('Trilu', [x, graph.scalar(k, 'int64')], { upper }));
    }
  }),
  propertyCase('sizes_Range_ConstantOfShape', 'tensors made from sizes', ({ graph, expect }) => {
    expect('range', graph.op('Range', [graph.scalar(0, 'int64'), graph.scalar(70001, 'int64'), graph.scalar(1, 'int64')]));
    expect('backwards', graph.op('Range', [graph.scalar(5), graph.scalar(-5), graph.scalar(-2.5)]));
    expect('none', graph.op('Range', [graph.scalar(5, 'int64'), graph.scalar(5, 'int64'), graph.scalar(1, 'int64')]));
    expect('filled', graph.op('ConstantOfShape', [graph.int64([3, 0, 2])]));
    expect('filled with -2', graph.op('ConstantOfShape', [graph.int64([257, 3])], { value: given('int64', [1], [-2]) }));
  }),
  propertyCase('depths_OneHot', 'OneHot with negative and foreign indices', ({ graph, feed, expect }) => {
    const indices = feed(given('int64', [5], [0, 2, -1, 7, -9]));
    expect('rows', graph.op('OneHot', [indices, graph.scalar(4, 'int64'), feed(given('float32', [2], [0, 1]))]));
    expect('columns', graph.op('OneHot', [indices, graph.scalar(4, 'int64'), feed(given('float32', [2], [-1, 2]))], { axis: 0 }));
  }),
];
