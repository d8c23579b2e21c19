import { float32Tensor, type Backend, type DeviceTensor, type ModuleInfo, type ModuleReport } from '@pare/core';
import { expertModeOn } from '@pare/model';
import { adapterNames, createAdapterParameters, decoderSegments, loadParameters, logitsOnly, lora, mergeAdapter, type Adapter, type Loss, type Segment } from '@pare/training';
import { denseWeight } from '@pare/weights';
import { type TrainingContext } from './context.js';
import { type AdapterOptions } from './options.js';

type Context = Pick<TrainingContext, 'backend' | 'model' | 'modules' | 'parameters' | 'seed'>;

/**
 * The model that learns, its parameters in float32 on the device. All of them are trained, norms and embedding included, or with a `loraRank` only adapters on the targets. What earlier stages
 * quantized, pruned or factorized is computed with as it is and not changed.
 */
export class Student implements Disposable {
  /** By name, adapters' included. A training replaces the tensors step by step. */
  readonly parameters: Map<string, DeviceTensor>;
  /** Names of those that are trained. */
  readonly trainable: ReadonlySet<string>;
  readonly #context: Context;
  readonly #adapter: Adapter | undefined;
  readonly #adapters: ReadonlyMap<string, Adapter>;

  private constructor(context: Context, parameters: Map<string, DeviceTensor>, trainable: ReadonlySet<string>, adapter: Adapter | undefined, adapters: ReadonlyMap<string, Adapter>) {
    this.#context = context;
    this.parameters = parameters;
    this.trainable = trainable;
    this.#adapter = adapter;
    this.#adapters = adapters;
  }

  /** Reads the model as earlier stages left it. */
  static async load(context: Context, { loraRank, loraAlpha }: AdapterOptions): Promise<Student> {
    const { backend, model, modules, seed } = context;
    const adapter = loraRank > 0 ? lora({ rank: loraRank, alpha: loraAlpha }) : undefined;
    const adapters = new Map<string, Adapter>(adapter === undefined ? [] : modules.map(({ info }) => [parameterName(info), adapter]));
    const segments = segmentsOf(context, logitsOnly, adapters);
    const parameters = await loadParameters(backend, model, segments);
    for (const [name, tensor] of createAdapterParameters(backend, segments, adapters, seed)) parameters.set(name, tensor);
    const all = [...modules.map(({ info }) => parameterName(info)), ...trainedBeside(context, parameters).map(({ name }) => name)];
    return new Student(context, parameters, adapter === undefined ? new Set(all) : adapterNames(segments), adapter, adapters);
  }

  get backend(): Backend {
    return this.#context.backend;
  }

  /** The student's forward pass up to a loss. Those of several losses read the same parameters. */
  segments(loss: Loss): Segment[] {
    return segmentsOf(this.#context, loss, this.#adapters);
  }

  /** Parameters with adapters merged, as a forward pass without adapters takes them. Merged ones are the caller's to dispose, the others the student's. */
  async plainParameters(): Promise<{ readonly parameters: ReadonlyMap<string, DeviceTensor>; readonly merged: readonly DeviceTensor[] }> {
    const { backend } = this.#context;
    const parameters = new Map(this.parameters);
    const merged: DeviceTensor[] = [];
    using scope = backend.scope();
    for (const [name, adapter] of this.#adapters) {
      const tensor = scope.own(await mergeAdapter(backend, name, adapter, this.parameters));
      merged.push(tensor);
      parameters.set(name, tensor);
    }
    for (const tensor of merged) scope.keep(tensor);
    return { parameters, merged };
  }

  /** Hands in what was learnt: adapters merged, everything rounded to its stored type. Once. */
  async writeBack(report?: ModuleReport): Promise<void> {
    const { backend, modules } = this.#context;
    for (const { info, replace } of modules) {
      const name = parameterName(info);
      using merged = this.#adapter === undefined ? undefined : await mergeAdapter(backend, name, this.#adapter, this.parameters);
      const { data } = await backend.read(merged ?? this.parameters.get(name)!);
      await replace(denseWeight(data as Float32Array, info.shape, info.dtype), report);
    }
    if (this.#adapter !== undefined) return;
    for (const { name, shape, replace } of trainedBeside(this.#context, this.parameters)) await replace(float32Tensor(shape, (await backend.read(this.parameters.get(name)!)).data as Float32Array));
  }

  [Symbol.dispose](): void {
    for (const tensor of this.parameters.values()) tensor[Symbol.dispose]();
    this.parameters.clear();
  }
}

function segmentsOf({ backend, model: { description } }: Context, loss: Loss, adapters: ReadonlyMap<string, Adapter>): Segment[] {
  return decoderSegments({ description, experts: expertModeOn(backend, description), loss, adapters });
}

/** What is trained beside the targets when everything is. */
function trainedBeside({ parameters }: Context, loaded: ReadonlyMap<string, DeviceTensor>): Context['parameters'] {
  return parameters.filter(({ name, module }) => loaded.has(name) && (module === undefined || module.form === 'dense'));
}

/** A tied head's matrix is the embedding's. */
function parameterName({ name, sharedWith = name }: ModuleInfo): string {
  return `${sharedWith}.weight`;
}
