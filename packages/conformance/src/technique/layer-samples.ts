import { createRandom, float32Tensor } from '@pare/core';
import type { LayerSample } from './technique-subject.js';

/** A standard normal number (Box–Muller). */
function normal(random: () => number): number {
  return Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random());
}

/** A layer with normal weights and inputs whose features are correlated and differ in size, as those of real layers do. */
export function randomLayer(out: number, width: number, seed: number, rows = 96): LayerSample {
  const random = createRandom(seed);
  const weight = Float32Array.from({ length: out * width }, () => 0.1 * normal(random));
  const sizes = Float32Array.from({ length: width }, (_, column) => (column % 17 === 3 ? 8 : 1) * (0.5 + random()));
  const inputs = new Float32Array(rows * width);
  for (let row = 0; row < rows; row++) {
    let carried = 0;
    for (let column = 0; column < width; column++) {
      carried = 0.6 * carried + normal(random);
      inputs[row * width + column] = carried * sizes[column]!;
    }
  }
  return { weight: float32Tensor([out, width], weight), inputs: float32Tensor([rows, width], inputs) };
}

/** Three layers that the usual group sizes divide. */
export function usualLayers(): Readonly<Record<string, LayerSample>> {
  return { 'block.first': randomLayer(24, 128, 1), 'block.second': randomLayer(7, 256, 2), 'block.third': randomLayer(33, 128, 3) };
}

/**
 * Layers to compare backends on. They have many more rows than inputs: where a Hessian is nearly singular, the last bit of a sum decides about codes, and no two
 * implementations agree.
 */
export function wellConditionedLayers(): Readonly<Record<string, LayerSample>> {
  return { 'block.first': randomLayer(256, 128, 11, 1024), 'block.second': randomLayer(160, 256, 12, 1536) };
}

/** Layers that break careless arithmetic: no weight, no signal, one output, one huge weight, equal weights. */
export function awkwardLayers(width: number): Readonly<Record<string, LayerSample>> {
  const change = (seed: number, weight: (value: number, index: number) => number, input = (value: number, _column: number): number => value): LayerSample => {
    const layer = randomLayer(6, width, seed);
    const inputs = layer.inputs.data as Float32Array;
    return {
      weight: float32Tensor([6, width], layer.weight.data.map(weight)),
      inputs: float32Tensor(
        layer.inputs.shape,
        inputs.map((value, index) => input(value, index % width)),
      ),
    };
  };
  const same = (value: number): number => value;
  return {
    'all weights zero': change(11, () => 0),
    'one output zero': change(12, (value, index) => (index < width ? 0 : value)),
    'all weights equal': change(13, () => 0.25),
    'all weights of one sign': change(14, (value) => Math.abs(value) + 0.01),
    'one huge weight': change(15, (value, index) => (index === width + 3 ? 1000 : value)),
    'inputs that never fire': change(16, same, (value, column) => (column % 4 === 1 ? 0 : value)),
    'all inputs zero': change(17, same, () => 0),
    'two equal inputs': (() => {
      const layer = randomLayer(6, width, 18);
      const inputs = (layer.inputs.data as Float32Array).slice();
      for (let row = 0; row < layer.inputs.shape[0]!; row++) inputs[row * width + 1] = inputs[row * width]!;
      return { weight: layer.weight, inputs: float32Tensor(layer.inputs.shape, inputs) };
    })(),
    'one output': randomLayer(1, width, 19),
    'fewer rows than inputs': randomLayer(6, width, 20, 5),
  };
}
