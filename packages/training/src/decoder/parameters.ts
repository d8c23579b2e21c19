import { float32Tensor, hostTensor, type Backend, type DeviceTensor, type HostTensor, type Model } from '@pare/core';
import { denseFloat32 } from '@pare/weights';
import { type Segment, type SegmentParameter } from './segments.js';

/** Every parameter of some segments once, in their order. */
export function parametersOf(segments: readonly Segment[]): SegmentParameter[] {
  return [...new Map(segments.flatMap(({ parameters }) => parameters).map((parameter) => [parameter.name, parameter])).values()];
}

/** A stored parameter in float32, as graphs want it: [out, in] for matrices whatever their stored layout. */
export async function readParameter(model: Model, { name, module, shape }: SegmentParameter): Promise<HostTensor> {
  if (module !== undefined) return model.denseWeight(module);
  const tensor = await model.tensor(name);
  return float32Tensor(shape, denseFloat32({ form: 'dense', shape: tensor.shape, tensor }));
}

/** Puts the model's own parameters on the device, in float32. The caller disposes them. Adapters' are not the model's. */
export async function loadParameters(backend: Backend, model: Model, segments: readonly Segment[]): Promise<Map<string, DeviceTensor>> {
  const loaded = new Map<string, DeviceTensor>();
  try {
    for (const parameter of parametersOf(segments)) {
      if (parameter.adapter !== undefined) continue;
      const { dtype, shape, data } = await readParameter(model, parameter);
      loaded.set(parameter.name, backend.write(hostTensor(dtype, shape, data)));
    }
    return loaded;
  } catch (error) {
    for (const tensor of loaded.values()) tensor[Symbol.dispose]();
    throw error;
  }
}
