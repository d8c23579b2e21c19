import { int64Tensor, type HostTensor } from '@pare/core';
import { GraphBuilder, gradientGraph, type Value } from '@pare/graph';
import { evaluateGraph } from '@pare/operators';
import type { BackendCase, Tolerance } from '../backend-case.js';
import { given, usual, values } from './property-case.js';

/* Backward passes: what differentiation makes of graphs is graphs like any other, in combinations that nobody writes by hand. */

type Feed = (tensor: HostTensor, shape?: readonly (number | string)[]) => Value;

/** Gradients of Σ output² / 2 with respect to all float inputs of a graph. */
function gradientCase(name: string, title: string, recipe: (graph: GraphBuilder, feed: Feed) => Value, tolerance: Tolerance = usual): BackendCase {
  return {
    name: `gradient_${name}`,
    title: `Gradients of ${title}`,
    tolerance,
    build: () => {
      const builder = new GraphBuilder(name);
      const inputs: Record<string, HostTensor> = {};
      const output = recipe(builder, (tensor, shape = tensor.shape) => {
        const input = `input_${String(Object.keys(inputs).length)}`;
        inputs[input] = tensor;
        return builder.input(input, tensor.dtype, shape);
      });
      builder.output(builder.mul(builder.reduceSum(builder.mul(output, output)), 0.5), 'loss');
      const floats = Object.keys(inputs).filter((input) => inputs[input]!.dtype === 'float32');
      const graph = gradientGraph(builder.build(), { of: 'loss', withRespectTo: floats, outputs: ['loss'] });
      return { graph, inputs, expected: evaluateGraph(graph, inputs) };
    },
  };
}

export const gradientCases: readonly BackendCase[] = [
  gradientCase('linear', 'a linear layer of open batch', (b, feed) => b.add(b.matmul(feed(values([2, 5, 7]), ['batch', 5, 7]), b.transpose(feed(values([3, 7], -1, 1, 'float32', 2)), [1, 0])), feed(values([3])))),
  gradientCase('embedding', 'rows that are looked up many times', (b, feed) => b.gather(feed(values([5, 67])), feed(int64Tensor([40, 3], Array.from({ length: 120 }, (_, index) => (index * index) % 3))), 0)),
  gradientCase('layer_norm', 'a layer normalisation', (b, feed) => b.op('LayerNormalization', [feed(values([3, 1, 33])), feed(values([33], 0.5, 1.5)), feed(values([33]))], { epsilon: 1e-3 })),
  gradientCase('rms_norm', 'a spelled-out RMS norm', (b, feed) => {
    const x = feed(values([3, 5, 17]));
    return b.mul(b.div(x, b.sqrt(b.add(b.reduceMean(b.pow(x, 2), [-1], true), 1e-3))), feed(values([17])));
  }),
  gradientCase('attention', 'grouped attention cut into runs', (b, feed) => {
    const [query, key, value] = [feed(values([1, 2, 3, 6, 4])), feed(values([1, 2, 1, 6, 4], -1, 1, 'float32', 3)), feed(values([1, 2, 1, 6, 4], -1, 1, 'float32', 4))];
    const runs = [[0, 2], [2, 6]].map(([start, end]) => {
      const keys = b.slice(key, 3, 0, end!);
      const scores = b.matmul(b.slice(query, 3, start!, end!), b.transpose(keys, [0, 1, 2, 4, 3]));
      return b.matmul(b.softmax(b.mul(b.tanh(scores), 2), -1), b.slice(value, 3, 0, end!));
    });
    return b.concat(runs, 3);
  }),
  gradientCase('rotary', 'halves that are turned', (b, feed) => {
    const [left, right] = b.split(feed(values([2, 3, 5, 8])), -1, [4, 4]);
    const [cos, sin] = [b.constant(values([5, 4])), b.constant(values([5, 4], -2, 2, 'float32', 9))];
    return b.concat([b.sub(b.mul(left!, cos), b.mul(right!, sin)), b.add(b.mul(right!, cos), b.mul(left!, sin))], -1);
  }),
  gradientCase('activations', 'activations', (b, feed) => {
    const x = feed(values([7, 9], -3, 3));
    return b.concat([b.mul(x, b.sigmoid(x)), b.relu(x), b.op('Gelu', [x]), b.op('Gelu', [x], { approximate: 'tanh' })], 0);
  }),
  gradientCase('mixture', 'experts on the tokens that chose them', (b, feed) => {
    const tokens = feed(values([6, 5]));
    const probabilities = b.softmax(b.matmul(tokens, feed(values([5, 3], -1, 1, 'float32', 5))), -1);
    const [likeliest, chosen] = b.node('TopK', [probabilities, b.int64([2])], { axis: -1 }, { outputs: 2 });
    const shares = b.div(likeliest!, b.reduceSum(likeliest!, [-1], true));
    return b.op('ScatterElements', [b.mul(probabilities, 0), chosen!, shares], { axis: 1 });
  }),
  gradientCase('cross_entropy', 'a masked cross-entropy', (b, feed) => {
    const logits = b.op('LogSoftmax', [feed(values([2, 4, 11]))], { axis: -1 });
    const targets = feed(int64Tensor([2, 4, 1], [0, 10, 3, 3, 9, 1, 0, 7]));
    return b.mul(b.op('GatherElements', [logits, targets], { axis: 2 }), b.constant(given('float32', [2, 4, 1], [1, 0, 1, 0.5, 1, 1, 0, 1])));
  }),
  gradientCase('maximum', 'the largest elements', (b, feed) => b.sub(feed(values([3, 1])), b.reduceMax(feed(values([2, 3, 9])), [-1], true))),
  gradientCase('convolution', 'a convolution with strides, then pooling', (b, feed) => {
    const convolved = b.op('Conv', [feed(values([1, 3, 9, 8])), feed(values([4, 3, 3, 3], -1, 1, 'float32', 6)), feed(values([4]))], { strides: [2, 1], pads: [1, 1, 1, 1] });
    return b.op('GlobalAveragePool', [b.op('MaxPool', [convolved], { kernel_shape: [3, 3], strides: [2, 2], pads: [1, 1, 1, 1] })]);
  }),
];
