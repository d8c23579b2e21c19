import { createRandom, type Backend, type DeviceTensor } from '@pare/core';
import { GraphBuilder } from '@pare/graph';
import { parametersOf } from '../decoder/parameters.js';
import { type Segment } from '../decoder/segments.js';
import { type Adapter } from './adapter.js';

/** Puts the parameters of adapters on the device as they are before training. The same seed gives the same values. The caller disposes them. */
export function createAdapterParameters(backend: Backend, segments: readonly Segment[], adapters: ReadonlyMap<string, Adapter>, seed: number): Map<string, DeviceTensor> {
  const random = createRandom(seed);
  const created = new Map<string, DeviceTensor>();
  for (const { name, shape } of parametersOf(segments)) {
    for (const parameter of adapters.get(name)?.parameters(shape) ?? []) created.set(name + parameter.suffix, backend.write(parameter.initial(random)));
  }
  return created;
}

/** Names of all parameters of adapters: what is trained when the model itself stays as it is. */
export function adapterNames(segments: readonly Segment[]): Set<string> {
  return new Set(parametersOf(segments).flatMap(({ name, adapter }) => (adapter === undefined ? [] : [name])));
}

/** A matrix with its adapter in it, [out, in] float32: the numbers that the forward pass computes with. The caller disposes it. */
export async function mergeAdapter(backend: Backend, name: string, adapter: Adapter, parameters: ReadonlyMap<string, DeviceTensor>): Promise<DeviceTensor> {
  const weight = parameters.get(name)!;
  const own = adapter.parameters(weight.shape).map(({ suffix }) => parameters.get(name + suffix)!);
  const builder = new GraphBuilder('merge');
  const inputs = own.map(({ dtype, shape }, index) => builder.input(String(index), dtype, shape));
  builder.output(adapter.apply(builder, builder.input('weight', weight.dtype, weight.shape), inputs), 'merged');
  await using executable = await backend.compile(builder.build());
  const { merged } = await executable.run({ weight, ...Object.fromEntries(own.map((tensor, index) => [String(index), tensor])) });
  return merged!;
}
