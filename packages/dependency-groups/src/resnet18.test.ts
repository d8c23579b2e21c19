import { createRandom, float32Tensor, type Backend, type Graph, type HostTensor, type Initializer } from '@pare/core';
import { GraphBuilder, type Value } from '@pare/graph';
import { leakCheckedBackend } from '@pare/testkit';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { describeGroup, runLength, traceGroups, type DependencyGroup } from './index.js';

/** ResNet-18 (He et al., arXiv 1512.03385, table 1) with `width` channels in its first stage, 64 in the original. Images are [batch, 3, size, size]. */
function resnet18(width: number, size: number): Graph {
  const builder = new GraphBuilder('resnet18');
  const random = createRandom(3);
  const weight = (name: string, shape: readonly number[], spread: number, centre = 0): Value => {
    const tensor = float32Tensor(shape);
    for (let index = 0; index < tensor.data.length; index++) tensor.data[index] = centre + spread * (2 * random() - 1);
    return builder.initializer(name, tensor);
  };
  const convolution = (x: Value, name: string, from: number, to: number, kernel: number, stride: number): Value => {
    const pad = (kernel - 1) / 2;
    const filters = weight(`${name}.weight`, [to, from, kernel, kernel], Math.sqrt(3 / (from * kernel * kernel)));
    const product = builder.op('Conv', [x, filters], { kernel_shape: [kernel, kernel], strides: [stride, stride], pads: [pad, pad, pad, pad] });
    const statistics = [weight(`${name}.scale`, [to], 0.2, 1), weight(`${name}.shift`, [to], 0.2), weight(`${name}.mean`, [to], 0.2), weight(`${name}.variance`, [to], 0.2, 1)];
    return builder.op('BatchNormalization', [product, ...statistics]);
  };
  const image = builder.input('image', 'float32', ['batch', 3, size, size]);
  let x = builder.relu(convolution(image, 'stem', 3, width, 7, 2));
  x = builder.op('MaxPool', [x], { kernel_shape: [3, 3], strides: [2, 2], pads: [1, 1, 1, 1] });
  let from = width;
  for (let stage = 0; stage < 4; stage++) {
    const to = width * 2 ** stage;
    for (let block = 0; block < 2; block++) {
      const name = `${String(stage)}.${String(block)}`;
      const stride = stage > 0 && block === 0 ? 2 : 1;
      const inner = builder.relu(convolution(x, `${name}.first`, from, to, 3, stride));
      const shortcut = from === to ? x : convolution(x, `${name}.shortcut`, from, to, 1, stride);
      x = builder.relu(builder.add(convolution(inner, `${name}.second`, to, to, 3, 1), shortcut));
      from = to;
    }
  }
  const pooled = builder.op('Flatten', [builder.op('GlobalAveragePool', [x])]);
  builder.output(builder.gemm(pooled, weight('classifier.weight', [10, from], 0.2), weight('classifier.bias', [10], 0.2), { transB: true }), 'scores');
  return builder.build();
}

/** The graph's constants without a group's slices, or with zeros there. No other constant depends on sizes here. */
function edited(graph: Graph, { slices }: DependencyGroup, keep: 'zeros' | 'rest'): Graph {
  const initializers = new Map<string, Initializer>(graph.initializers);
  for (const { tensor, axis, runs } of slices) {
    const { shape, data } = initializers.get(tensor) as HostTensor;
    const gone = new Set(runs.flatMap(({ start, length }) => Array.from({ length }, (_, step) => start + step)));
    const inner = shape.slice(axis + 1).reduce((product, size) => product * size, 1);
    const goes = (_: unknown, index: number): boolean => gone.has(Math.floor(index / inner) % shape[axis]!);
    const values = Array.from(data as Float32Array);
    const result = keep === 'zeros' ? values.map((value, index) => (goes(value, index) ? 0 : value)) : values.filter((value, index) => !goes(value, index));
    initializers.set(tensor, float32Tensor(keep === 'zeros' ? shape : shape.map((size, index) => (index === axis ? size - gone.size : size)), Float32Array.from(result)));
  }
  return { ...graph, initializers };
}

describe('ResNet-18', () => {
  const graph = resnet18(64, 224);
  const groups = traceGroups(graph);

  it('couples a feature map inside a block with one convolution before and one behind', () => {
    expect(describeGroup(groups.groupOf('1.0.first.weight', 0, 12), 'feature map 12')).toBe(
      `removing feature map 12 edits 6 tensors:
  1.0.first.weight    axis 0, index 12
  1.0.first.scale     axis 0, index 12
  1.0.first.shift     axis 0, index 12
  1.0.first.mean      axis 0, index 12
  1.0.first.variance  axis 0, index 12
  1.0.second.weight   axis 1, index 12`,
    );
  });

  it('couples the residual stream of a stage: every convolution that adds to it and every one that reads it', () => {
    const stage = groups.groupOf('1.0.second.weight', 0, 5);
    const touched = stage.slices.map(({ tensor, axis }) => `${tensor} ${String(axis)}`).filter((text) => text.includes('weight'));
    expect(touched.sort()).toEqual(['1.0.second.weight 0', '1.0.shortcut.weight 0', '1.1.first.weight 1', '1.1.second.weight 0', '2.0.first.weight 1', '2.0.shortcut.weight 1']);
    expect(stage.statistics).toEqual([]);
    const last = groups.groupOf('classifier.weight', 1, 511);
    expect(last.slices.filter(({ tensor }) => tensor.includes('weight')).map(({ tensor }) => tensor)).toEqual(['3.0.shortcut.weight', '3.0.second.weight', '3.1.first.weight', '3.1.second.weight', 'classifier.weight']);
    expect(last.slices.every(({ runs }) => runLength(runs) === 1)).toBe(true);
  });

  it('refuses what reaches the input, the output or a window', () => {
    for (const [tensor, axis, text] of [
      ['stem.weight', 1, /input "image"/],
      ['classifier.weight', 0, /output "scores"/],
      ['stem.weight', 2, /window/],
    ] as const) {
      expect(() => groups.groupOf(tensor, axis, 0)).toThrow(expect.objectContaining({ code: 'PARE_SLICE_FIXED', message: expect.stringMatching(text) as string }) as Error);
    }
  });

  describe('with 8 channels on images of 32', () => {
    let backend: Backend;
    beforeAll(async () => {
      backend = await leakCheckedBackend();
    });
    afterAll(async () => {
      await backend[Symbol.asyncDispose]();
    });

    it('gives without a group what it gives with zeros in its place', async () => {
      const small = resnet18(8, 32);
      const found = traceGroups(small);
      const units = [
        ['0.0.first.weight', 0, 3],
        ['stem.weight', 0, 1],
        ['1.0.second.weight', 0, 5],
        ['3.1.second.weight', 0, 63],
        ['2.0.first.weight', 1, 5],
      ] as const;
      const group = found.group(units.flatMap(([tensor, axis, index]) => found.unitsOf(tensor, axis, index)));
      const scores = async (each: Graph): Promise<Float32Array> => {
        await using executable = await backend.compile(each);
        using scope = backend.scope();
        const image = float32Tensor([2, 3, 32, 32], Float32Array.from({ length: 6144 }, (_, index) => Math.sin(index)));
        const outputs = await executable.run({ image: scope.own(backend.write(image)) });
        return (await backend.read(scope.own(outputs['scores']!))).data as Float32Array;
      };
      const [whole, zeros, rest] = [await scores(small), await scores(edited(small, group, 'zeros')), await scores(edited(small, group, 'rest'))];
      expect(Math.max(...rest.map((value, index) => Math.abs(value - zeros[index]!)))).toBeLessThan(1e-5);
      expect(Math.max(...rest.map((value, index) => Math.abs(value - whole[index]!)))).toBeGreaterThan(0.01);
    });
  });
});
