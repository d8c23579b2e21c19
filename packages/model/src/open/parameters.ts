import { float32Tensor, type DenseWeight, type DType, type HostTensor, type Model, type ModuleInfo } from '@pare/core';
import { denseFloat32, denseWeight } from '@pare/weights';
import { moduleOfWeight } from './stored-model.js';

/** A stored tensor of a model. */
export interface Parameter {
  /** Stored name. */
  readonly name: string;
  /** The module whose matrix it is; undefined for norms, biases, positions. */
  readonly module: ModuleInfo | undefined;
  /** [out, in] for a module's matrix, whatever its layout. */
  readonly shape: readonly number[];
  readonly dtype: DType;
}

/** The tensors of a model. Matrices that are another's (tied heads) are not listed. */
export function parametersOf(model: Model): Parameter[] {
  const infos = new Map(model.modules.map((info) => [info.name, info]));
  return model.tensors.flatMap(({ name, dtype, shape }) => {
    const module = infos.get(moduleOfWeight(name));
    return module?.sharedWith === undefined ? [{ name, module, dtype, shape: module?.shape ?? shape }] : [];
  });
}

/** The tensors of a block, those outside blocks, or all, but for the matrices of some modules. */
export function parametersBeside(model: Model, block: number | 'all' | undefined, modules: ReadonlySet<string>): Parameter[] {
  const prefixes = model.description.blocks.map(({ name }) => `${name}.`);
  const isHere = (name: string): boolean => block === 'all' || (block === undefined ? !prefixes.some((prefix) => name.startsWith(prefix)) : name.startsWith(prefixes[block]!));
  return parametersOf(model).filter(({ name, module }) => isHere(name) && (module === undefined || !modules.has(module.name)));
}

/** A parameter in its stored type: a matrix [out, in], anything else in its stored shape. */
export async function readParameter(model: Model, { name, module }: Pick<Parameter, 'name' | 'module'>): Promise<DenseWeight> {
  const form = module?.form === 'dense' ? await model.weight(module.name) : undefined;
  if (form?.form === 'dense') return form;
  const tensor: HostTensor = module === undefined ? await model.tensor(name) : await model.denseWeight(module.name);
  return { form: 'dense', shape: tensor.shape, tensor };
}

/** New values of a parameter, rounded to its stored type; or why they cannot be. */
export function storedParameter({ module, shape, dtype }: Parameter, { data, shape: given }: HostTensor & { readonly data: Float32Array }): DenseWeight | string {
  if (module !== undefined && module.form !== 'dense') return `its matrix is ${module.form} already; only dense ones can be replaced`;
  if (given.join() !== shape.join() || data.length !== shape.reduce((product, size) => product * size, 1)) return `its shape is [${given.join(', ')}]; it should be [${shape.join(', ')}]`;
  const stored = denseWeight(data.slice(), shape, dtype);
  const at = denseFloat32(stored).findIndex((value) => !Number.isFinite(value));
  return at < 0 ? stored : `element ${String(at)} is ${String(data[at])}, which is not finite in ${stored.tensor.dtype}`;
}

/** A parameter's values as float32, a copy. */
export function parameterValues(weight: DenseWeight): HostTensor & { readonly data: Float32Array } {
  const values = denseFloat32(weight);
  return float32Tensor(weight.shape, values === weight.tensor.data ? values.slice() : values);
}
