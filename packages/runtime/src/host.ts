import {
  cacheFolderRef,
  fileSystemRef,
  modelOpenerRef,
  isPareError,
  loggerRef,
  nearest,
  pareError,
  pluginKind,
  provide,
  throwIfAborted,
  type Backend,
  type BackendPlugin,
  type FileSystem,
  type Logger,
  type Model,
  type PluginKind,
  type ServiceRef,
} from '@pare/core';
import { EvaluationCache, mergeMetrics, openSubject, type EvaluationStore, type SubjectContext } from '@pare/evaluation';
import { defaultFiles } from '@pare/platform';
import { pluginCode } from '@pare/plugin-lock';
import { resolveModel } from '#node-only';
import { EventEmitter } from 'eventemitter3';
import { anySignal } from './cancellation.js';
import { checkOutput, compress, looksLikeModel, type BackendLease } from './compress.js';
import { checkServices, createServiceContainer, withDefaults } from './container.js';
import { prepareEvaluation, runEvaluation } from './evaluations.js';
import { explainBoot, type BootPhase } from './explain.js';
import type {
  BackendListing,
  CompressionPlan,
  CompressionRequest,
  CompressionResult,
  EvaluationReport,
  EvaluationRequest,
  Host,
  HostEventArguments,
  HostOptions,
  Inspection,
  LoadedPlugin,
  PlanRequest,
  PluginOfKind,
  RecipeRequest,
  Selection,
} from './host-types.js';
import { loadPlugins, problemText, refuseProblems } from './loader.js';
import { readManifest } from './manifest.js';
import { watchMemory } from './memory.js';
import { loadModelLibrary, type ModelLibrary } from './model-library.js';
import type { PluginProblem } from './plugin-problem.js';
import type { HostCore } from './plugin-context.js';
import { prefixed } from './plugin-context.js';
import { chooseBackend, prepare, scoreBackend, type ChosenBackend, type Preparation, type PreparationContext } from './prepare.js';
import { recipeSubject, type RecipeSubject } from './recipe-subject.js';
import { recipeJsonSchema, resolveRecipe, type RecipeCatalogue } from './recipes.js';

const silent: Logger = { debug: () => undefined, info: () => undefined, warn: () => undefined, error: () => undefined };

/**
 * Starts a host: checks and loads plugins, registers services, checks that what plugins ask for is provided. No device is touched and no model library is
 * loaded before they are needed.
 * @throws PARE_PLUGINS_INVALID with every problem of every plugin and service
 */
export async function createHost(options: HostOptions): Promise<Host> {
  const phases: BootPhase[] = [];
  let started = performance.now();
  const endPhase = (name: string, details: readonly string[] = []): void => {
    const now = performance.now();
    phases.push({ name, milliseconds: now - started, details });
    started = now;
  };
  throwIfAborted(options.signal, 'starting the host');

  const factories = withDefaults(options.services ?? [], [
    provide(cacheFolderRef, {}, () => ({ path: options.cacheDirectory === undefined ? undefined : defaultFiles.path.resolve(options.cwd ?? '.', options.cacheDirectory) })),
    provide(loggerRef, {}, () => options.logger ?? silent), provide(fileSystemRef, {}, () => defaultFiles),
    provide(modelOpenerRef, {}, () => ({ open: (model, opening) => host.openModel(model, opening) })),
  ]);
  const provided = new Set(factories.map((factory) => factory.ref.id));
  const loaded = await loadPlugins(options.plugins, {
    cwd: defaultFiles.path.resolve(options.cwd ?? '.', options.pluginFolder ?? '.'),
    timeoutSeconds: options.pluginTimeoutSeconds ?? 30,
    check: (plugins) => missingServices(plugins, provided),
  });
  endPhase('validate', loaded.timings.map((timing) => `${timing.source} ${timing.milliseconds.toFixed(1)} ms: ${timing.plugins.join(', ')}`));

  refuseProblems([...loaded.problems, ...checkServices(factories)]);
  const container = createServiceContainer(factories);
  endPhase('register', [`${String(factories.length)} service(s)`]);

  const log = await container.get(loggerRef);
  for (const warning of loaded.warnings) log.warn(`left out ${problemText(warning)}`);
  const host: PareHost = new PareHost(options, await container.get(fileSystemRef), log, loaded.plugins, container, phases);
  endPhase('connect', [`${String(loaded.plugins.length)} plugin(s)`]);
  endPhase('ready');
  return host;
}

/** Services that plugins depend on and nobody provides. */
function missingServices(plugins: readonly LoadedPlugin[], provided: ReadonlySet<string>): PluginProblem[] {
  return plugins.flatMap(({ plugin, source, kind, id }) => {
    const deps = 'deps' in plugin ? ((plugin.deps ?? {}) as Readonly<Record<string, ServiceRef<unknown>>>) : {};
    return Object.entries(deps).flatMap(([name, ref]) =>
      provided.has(ref.id)
        ? []
        : {
            path: `${source}.deps.${name}`,
            found: `service "${ref.id}", which nothing provides`,
            allowed: `provided services: ${[...provided].join(', ')}`,
            fix: `Add a factory for "${ref.id}" to the host's services, or remove ${kind} "${id}".`,
          },
    );
  });
}

class PareHost implements Host {
  readonly events = new EventEmitter<HostEventArguments>();
  readonly plugins: readonly LoadedPlugin[];
  readonly #options: HostOptions;
  readonly #files: FileSystem;
  readonly #cwd: string;
  readonly #core: HostCore;
  readonly #phases: readonly BootPhase[];
  readonly #closing = new AbortController();
  readonly #running = new Set<Promise<unknown>>();

  constructor(options: HostOptions, files: FileSystem, log: Logger, plugins: readonly LoadedPlugin[], container: HostCore['container'], phases: readonly BootPhase[]) {
    this.plugins = plugins;
    this.#options = options;
    this.#files = files;
    this.#cwd = files.path.resolve(options.cwd ?? '.');
    this.#phases = phases;
    this.#core = {
      container,
      log,
      emit: (event, data) => {
        try {
          // Overload resolution cannot follow a generic event name; the signature of this function ties name and data together.
          const emit = this.events.emit.bind(this.events) as (event: string, data: unknown) => boolean;
          emit(event, data);
        } catch (error) {
          // A listener's mistake must not end a run of hours.
          log.error(`a listener of "${event}" threw: ${error instanceof Error ? error.message : String(error)}`);
        }
      },
    };
  }

  plugin<K extends PluginKind>(kind: K, id: string): LoadedPlugin & { readonly plugin: PluginOfKind<K> } {
    const candidates = this.#ofKind(kind);
    const found = candidates.find((candidate) => candidate.id === id);
    if (found !== undefined) return found;
    const known = candidates.map((candidate) => candidate.id);
    throw pareError('PARE_PLUGIN_UNKNOWN', { kind, id, known, nearest: nearest(id, known) });
  }

  service<T>(ref: ServiceRef<T>): Promise<T> {
    return this.#core.container.get(ref);
  }

  explain(): string {
    return explainBoot(this.#phases, this.plugins, this.#core.container.timings);
  }

  async backends(): Promise<readonly BackendListing[]> {
    const scored = await Promise.all(this.#ofKind('backend').map(async (loaded) => ({ loaded, ...(await scoreBackend(loaded.plugin)) })));
    scored.sort((a, b) => b.score - a.score || (a.loaded.id < b.loaded.id ? -1 : 1));
    return scored.map(({ loaded, score, reason, device }, index) => ({
      id: loaded.id,
      title: loaded.title,
      score,
      reason,
      device,
      package: loaded.package,
      version: loaded.version,
      chosen: index === 0 && score > 0,
    }));
  }

  async openBackend(selection?: string | Selection): Promise<Backend> {
    return (await (await this.#backend(selection)).openBackend()).backend;
  }

  async openModel(model: string, options: { readonly signal?: AbortSignal | undefined } = {}): Promise<Model> {
    const signal = this.#signal(options.signal);
    throwIfAborted(signal, 'opening the model');
    const library = await loadModelLibrary();
    const files = this.#files;
    const local = files.path.resolve(this.#cwd, model);
    const isFolder = (await files.status(local).catch(() => undefined))?.kind === 'folder';
    const directory = isFolder ? local : await resolveModel(model, {
      ...this.#options.hub,
      signal,
      onProgress: ({ file, bytes, totalBytes }) => {
        this.#core.emit('progress', { task: 'download', completed: bytes, total: totalBytes ?? bytes, unit: 'bytes', detail: file });
      },
    });
    return library.openModel(directory, { architectures: this.#ofKind('architecture').map(({ plugin }) => plugin), files, signal });
  }

  async inspect(model: string | Model, options: { readonly signal?: AbortSignal | undefined } = {}): Promise<Inspection> {
    await using lease = await this.#lease(model, options.signal);
    const { value } = lease;
    const { description } = value;
    return {
      name: value.name,
      directory: value.directory,
      architecture: description.architecture,
      modelType: description.modelType,
      parameters: value.parameters,
      bytes: value.bytes,
      bitsPerWeight: (value.bytes * 8) / value.parameters,
      blocks: description.blocks.length,
      hiddenSize: description.hiddenSize,
      vocabularySize: description.vocabularySize,
      maxPositions: description.maxPositions,
      tiedHead: description.head.tied,
      modules: value.modules,
      tensors: value.tensors,
      companionFiles: value.companionFiles,
      manifest: await readManifest(value.files, value.directory),
    };
  }

  async plan(request: PlanRequest): Promise<CompressionPlan> {
    const signal = this.#signal(request.signal);
    const { context } = await this.#preparationContext(request.backend, signal);
    await using lease = await this.#lease(request.model, signal);
    return (await prepare(request, lease.value, context)).plan;
  }

  compress(request: CompressionRequest): Promise<CompressionResult> {
    return this.#track(this.#compress(request));
  }

  async #compress(request: CompressionRequest): Promise<CompressionResult> {
    const signal = this.#signal(request.signal);
    const files = this.#files;
    const output = files.path.resolve(this.#cwd, request.output);
    await checkOutput(files, output, request);
    using _memory = this.#watchMemory();
    const { context, openBackend } = await this.#preparationContext(request.backend, signal);
    const library = context.library;
    await using lease = await this.#lease(request.model, signal);
    const preparation: Preparation = await prepare(request, lease.value, context);
    const { evaluate } = request;
    const evaluation = evaluate === undefined || evaluate.evaluators.length === 0 ? undefined : await prepareEvaluation({ ...evaluate, original: lease.value }, this.#evaluationCatalogue(library));
    return await compress({
      core: this.#core,
      files,
      library,
      request,
      output,
      preparation,
      evaluation,
      model: lease.value,
      modelName: lease.portableName,
      backendId: context.backend.id,
      openBackend,
      reopen: (directory) => this.#reopen(directory, signal),
      plugins: this.plugins,
      signal,
    });
  }

  /** A model that was just written; undefined when it is none, or one of a layout that only other programs read. */
  async #reopen(directory: string, signal: AbortSignal): Promise<Model | undefined> {
    if (!(await looksLikeModel(this.#files, directory))) return undefined;
    try {
      return await this.openModel(directory, { signal });
    } catch (error) {
      if (!isPareError(error) || error.code === 'PARE_ABORTED') throw error;
      this.#core.emit('warning', { code: error.code, message: `the model in memory is evaluated instead of what was written: ${error.message}` });
      return undefined;
    }
  }

  evaluate(request: EvaluationRequest): Promise<EvaluationReport> {
    return this.#track(this.#evaluate(request));
  }

  async #evaluate(request: EvaluationRequest): Promise<EvaluationReport> {
    const signal = this.#signal(request.signal);
    using _memory = this.#watchMemory();
    const library = await loadModelLibrary();
    const { recipe, original: given = recipe === undefined ? undefined : request.model } = request;
    const evaluation = await prepareEvaluation({ ...request, original: given }, this.#evaluationCatalogue(library));
    const { chosen: computing, computedBy, openBackend } = await this.#backend(request.backend);
    await using opened = lazyLease(openBackend);
    const backend = async (): Promise<Backend> => (await opened.get()).backend;
    const context: SubjectContext = {
      log: this.#core.log,
      files: this.#files,
      cwd: this.#cwd,
      formats: this.#ofKind('format').map(({ plugin }) => plugin),
      architectures: this.#ofKind('architecture').map(({ plugin }) => plugin),
      backend,
      openModel: (model) => this.openModel(model, { signal }),
      signal,
    };
    await using source = await openSubject(request.model, request.artifact, context);
    await using other = given === undefined || given === request.model ? undefined : await openSubject(given, undefined, context);
    const original = given === undefined ? undefined : (other ?? source);
    const { model } = source;
    const name = typeof request.model === 'string' ? request.model : request.model.name;
    const seed = request.seed ?? 0;
    const shared = { core: this.#core, files: this.#files, library, signal };
    const used = [`backend:${computing.id}`, ...(source.artifact === undefined ? [] : [`format:${source.artifact.format}`])];
    const modelTypes = [model, ...(original === undefined ? [] : [original.model])].map(({ description }) => description.modelType);
    const codeOf = async (evaluator: string): Promise<string | undefined> => {
      const { names, known } = await pluginCode(this.plugins, [`evaluator:${evaluator}`, ...used], modelTypes);
      return known ? JSON.stringify(names) : undefined;
    };
    const store = this.#evaluationStore(request, computedBy, codeOf);
    const apply = async (chosen: RecipeRequest): Promise<RecipeSubject> => {
      if (source.artifact !== undefined) throw pareError('PARE_WEIGHTS_INACCESSIBLE', { file: source.artifact.file, wanted: 'a recipe' });
      const preparing = { ...this.#recipeCatalogue(), formats: new Map<string, never>(), library, backend: computing, signal };
      const preparation = await prepare({ ...chosen, model, formats: [], seed }, model, preparing);
      const run = { ...shared, request, preparation, model, modelName: name, backendId: computing.id, plugins: this.plugins };
      const folder = await store?.cache.recipeFolder();
      return recipeSubject({ run, source, backend, folder, resume: request.resume ?? false });
    };
    await using made = recipe === undefined ? undefined : await apply(recipe);
    const subject = made ?? source;
    const evaluations = await runEvaluation(evaluation, { ...shared, subject, original, name, backend, seed, store });
    return { model: name, artifact: subject.artifact?.file, recipe: made?.recipe, backend: computing.id, metrics: mergeMetrics(evaluations), evaluations };
  }

  /** Where results are kept; undefined when they are not. */
  #evaluationStore({ cache = true, resume = false }: EvaluationRequest, computedBy: string, codeOf: EvaluationStore['codeOf']): EvaluationStore | undefined {
    const { cacheDirectory } = this.#options;
    if (cacheDirectory === undefined || (!cache && !resume)) return undefined;
    const warn = (message: string): void => this.#core.emit('warning', { code: 'PARE_CACHE', message });
    return { cache: new EvaluationCache(this.#files, this.#files.path.resolve(this.#cwd, cacheDirectory), warn), results: cache, resume, codeOf, computedBy };
  }

  resolveRecipe: Host['resolveRecipe'] = (recipe, set = []) => resolveRecipe(recipe, set, this.#recipeCatalogue());

  recipeJsonSchema: Host['recipeJsonSchema'] = () => recipeJsonSchema(this.#ofKind('technique').map(({ plugin }) => plugin));

  async close(): Promise<void> {
    this.#closing.abort();
    await Promise.allSettled(this.#running);
    await this.#core.container.dispose();
    this.events.removeAllListeners();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  #ofKind<K extends PluginKind>(kind: K): (LoadedPlugin & { readonly plugin: PluginOfKind<K> })[] {
    return this.plugins.filter((loaded): loaded is LoadedPlugin & { readonly plugin: PluginOfKind<K> } => pluginKind(loaded.plugin) === kind);
  }

  #byId<K extends PluginKind>(kind: K): ReadonlyMap<string, PluginOfKind<K>> {
    return new Map(this.#ofKind(kind).map(({ id, plugin }) => [id, plugin]));
  }

  #recipeCatalogue(): RecipeCatalogue {
    return { techniques: this.#byId('technique'), presets: this.#byId('preset'), plugins: this.plugins, files: this.#files, cwd: this.#cwd };
  }

  #evaluationCatalogue(library: ModelLibrary): Parameters<typeof prepareEvaluation>[1] {
    return { evaluators: this.#byId('evaluator'), files: this.#files, cwd: this.#cwd, library };
  }

  async #preparationContext(backend: PlanRequest['backend'], signal: AbortSignal): Promise<{ context: PreparationContext; openBackend: () => Promise<BackendLease> }> {
    throwIfAborted(signal, 'planning');
    const { chosen, openBackend } = await this.#backend(backend);
    const library = await loadModelLibrary();
    return { context: { ...this.#recipeCatalogue(), formats: this.#byId('format'), library, backend: chosen, signal }, openBackend };
  }

  /** The backend of a request, not opened yet. One that the caller opened stays open. */
  async #backend(selection: PlanRequest['backend']): Promise<{ chosen: ChosenBackend; computedBy: string; openBackend: () => Promise<BackendLease> }> {
    if (typeof selection === 'object' && 'compile' in selection) {
      const lease: BackendLease = { backend: selection, [Symbol.asyncDispose]: () => Promise.resolve() };
      return { chosen: { id: selection.id, device: selection.device, operators: selection }, computedBy: selection.id, openBackend: () => Promise.resolve(lease) };
    }
    const { plugin, options, device, reason } = await chooseBackend(selection, this.#ofKind('backend'));
    const openBackend = async (): Promise<BackendLease> => {
      const backend = await this.#openBackend(plugin, options, reason);
      return { backend, [Symbol.asyncDispose]: () => backend[Symbol.asyncDispose]() };
    };
    const computedBy = JSON.stringify([plugin.id, options]);
    return { chosen: { id: plugin.id, device, operators: plugin }, computedBy, openBackend };
  }

  async #openBackend(plugin: BackendPlugin, options: Readonly<Record<string, unknown>>, score: string): Promise<Backend> {
    try {
      return await plugin.create(options, { log: prefixed(this.#core.log, plugin.id) });
    } catch (error) {
      if (isPareError(error)) throw error;
      throw pareError('PARE_BACKEND_UNAVAILABLE', { backend: plugin.id, reason: `${error instanceof Error ? error.message : String(error)} (${score})` }, error);
    }
  }

  /** A model for the time of a request; one that the caller opened stays open. */
  async #lease(model: string | Model, signal: AbortSignal | undefined): Promise<AsyncDisposable & { readonly value: Model; readonly portableName: string }> {
    if (typeof model !== 'string') return { value: model, portableName: model.name, [Symbol.asyncDispose]: () => Promise.resolve() };
    const value = await this.openModel(model, { signal });
    // A folder's own name says as much on any machine; its path does not.
    const portableName = value.directory === value.files.path.resolve(this.#cwd, model) ? value.files.path.basename(value.directory) : model;
    return { value, portableName, [Symbol.asyncDispose]: () => value[Symbol.asyncDispose]() };
  }

  #signal(signal: AbortSignal | undefined): AbortSignal {
    if (this.#closing.signal.aborted) throw pareError('PARE_HOST_CLOSED', { operation: 'work' });
    return anySignal(this.#closing.signal, this.#options.signal, signal);
  }

  #watchMemory(): Disposable {
    return watchMemory(this.#options.memoryIntervalSeconds ?? 1, (sample) => {
      this.#core.emit('memory', sample);
    });
  }

  async #track<T>(work: Promise<T>): Promise<T> {
    this.#running.add(work);
    try {
      return await work;
    } finally {
      this.#running.delete(work);
    }
  }
}

/** Opened when it is first needed, closed if it was. */
function lazyLease(open: () => Promise<BackendLease>): AsyncDisposable & { readonly get: () => Promise<BackendLease> } {
  let lease: Promise<BackendLease> | undefined;
  return {
    get: () => (lease ??= open()),
    async [Symbol.asyncDispose]() {
      await (await lease?.catch(() => undefined))?.[Symbol.asyncDispose]();
    },
  };
}
