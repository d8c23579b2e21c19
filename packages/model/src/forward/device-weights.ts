import { elementCount, float32Tensor, hostTensor, prefetch, type DeviceTensor, type DType, type Graph, type HostTensor, type Model, type QuantizedWeight, type WeightForm } from '@pare/core';
import { GraphBuilder } from '@pare/graph';
import { columnGroups, denseFloat32, groupsPerRow, isFloat8, packedWords, symmetricZero } from '@pare/weights';
import type { RunnerContext } from './context.js';

/*
 * Matrices on a device with memory of its own. What is stored in half the bytes or less goes there as it is stored and becomes float32 there, which spares the host a pass over
 * every element and the copy most of its bytes. Values are those of `Model.denseWeight`.
 */

type Context = Pick<RunnerContext, 'backend' | 'executables'>;

/** Modules' matrices [out, in] in float32 on the device, one after another in the order given. The caller disposes them. On a device of its own the next is read while one is on its way. */
export async function* loadMatrices(context: Context, source: Model, modules: readonly string[]): AsyncGenerator<DeviceTensor, void, undefined> {
  const { backend } = context;
  if (backend.device.separate === undefined) {
    for (const module of modules) yield backend.write(await source.denseWeight(module));
    return;
  }
  const forms = prefetch(modules, (module) => source.weight(module));
  for (let count = modules.length; count > 0; count--) yield await toDevice(context, source, await forms.next());
}

async function toDevice(context: Context, source: Model, form: WeightForm): Promise<DeviceTensor> {
  const { backend } = context;
  if (form.form === 'shared') return toDevice(context, source, await source.weight(form.with));
  if (form.form === 'dense' && isHalf(form.tensor.dtype)) return widened(context, form.tensor);
  if (form.form === 'quantized' && !isFloat8(form.scheme)) return multipliedOut(context, form);
  return backend.write(float32Tensor(form.shape, denseFloat32(form)));
}

/** True for 16-bit floats, which devices with memory of their own take as they are. */
export function isHalf(dtype: DType): boolean {
  return dtype === 'bfloat16' || dtype === 'float16';
}

/** A tensor of 16-bit floats as float32 on the device. */
async function widened({ backend, executables }: Context, tensor: HostTensor): Promise<DeviceTensor> {
  const { dtype, shape } = tensor;
  const executable = await executables.get(`widen ${dtype} ${shape.join()}`, () => {
    const builder = new GraphBuilder('widen');
    builder.output(builder.cast(builder.input('stored', dtype, shape), 'float32'), 'value');
    return builder.build();
  });
  using stored = backend.write(tensor);
  return (await executable.run({ stored }))['value']!;
}

/** scale · (code − zero) on the device. */
async function multipliedOut({ backend, executables }: Context, form: QuantizedWeight): Promise<DeviceTensor> {
  const { shape, scheme, scales, zeros, groupIndex } = form;
  const [rows, columns] = shape;
  const single = scheme.granularity === 'tensor';
  const grids = [single ? 1 : rows, single ? 1 : groupsPerRow(scheme, columns)] as const;
  const even = groupIndex === undefined && columns === grids[1] * scheme.groupSize;
  // Words of 4 bits are what ONNX calls uint4, if rows end with a word.
  const words = scheme.bits === 4 && columns % 8 === 0 ? packedWords(form) : undefined;
  const options: GridGraphOptions = { shape, grids, even: single || even, codes: words === undefined ? 'uint8' : 'uint4' };
  const executable = await executables.get(`multiply out ${JSON.stringify(options)}`, () => gridGraph(options));
  using scope = backend.scope();
  const inputs: Record<string, DeviceTensor> = {
    codes: scope.own(backend.write(hostTensor(options.codes, shape, words === undefined ? form.codes : new Uint8Array(words.buffer, words.byteOffset, words.byteLength)))),
    scales: scope.own(backend.write(float32Tensor(grids, scales))),
    zeros: scope.own(backend.write(hostTensor('uint8', grids, zeros ?? new Uint8Array(scales.length).fill(symmetricZero(scheme.bits))))),
  };
  if (!options.even) inputs['group'] = scope.own(backend.write(hostTensor('int32', [columns], columnGroups(form))));
  return (await executable.run(inputs))['value']!;
}

interface GridGraphOptions {
  readonly shape: readonly [number, number];
  /** Shape of scales and zeros. */
  readonly grids: readonly [number, number];
  /** True where groups are runs of equal length; otherwise the group of each column is an input. */
  readonly even: boolean;
  readonly codes: 'uint8' | 'uint4';
}

function gridGraph({ shape, grids, even, codes: type }: GridGraphOptions): Graph {
  const builder = new GraphBuilder('multiply-out');
  const codes = builder.cast(builder.input('codes', type, shape), 'float32');
  const scales = builder.input('scales', 'float32', grids);
  const zero = builder.cast(builder.input('zeros', 'uint8', grids), 'float32');
  if (even) {
    const grouped = builder.reshape(codes, [shape[0], grids[1], elementCount(shape) / (shape[0] * grids[1])]);
    const centred = builder.sub(grouped, builder.unsqueeze(zero, [2]));
    builder.output(builder.reshape(builder.mul(centred, builder.unsqueeze(scales, [2])), shape), 'value');
  } else {
    const group = builder.input('group', 'int32', [shape[1]]);
    const centred = builder.sub(codes, builder.gather(zero, group, 1));
    builder.output(builder.mul(centred, builder.gather(scales, group, 1)), 'value');
  }
  return builder.build();
}
