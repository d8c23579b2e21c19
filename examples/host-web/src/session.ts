import { fileSystemRef, isPareError, provide, type Backend, type FileSystem, type Model, type TextSource } from '@pare/core';
import { generateTokens, openTokenizer, pickToken } from '@pare/model';
import { isRunning, memoryFiles, mountFiles, storageFiles } from '@pare/platform';
import { createHost, type CompressionRequest, type CompressionResult, type Host, type PlanRequest } from '@pare/runtime';
import { downloadZip } from 'client-zip';
import { loadPlugins } from './plugins';
import type { Calls, Catalogue, ModelFacts, Outcome, PlanFacts, RunEvent, Settings, Step, TextChoice } from './protocol';

/** A folder that a run has written. */
interface Written {
  readonly name: string;
  readonly path: string;
  readonly files: Outcome['files'];
}

/** The host in the page's worker: one model at a time, one run at a time. */
export class Session implements Calls {
  readonly #tell: (event: RunEvent) => void;
  /** Where results and journals lie. */
  #storage: FileSystem = memoryFiles();
  #files: FileSystem = this.#storage;
  #folder = '/';
  #host: Host | undefined;
  #model: { readonly name: string; readonly path: string; readonly facts: ModelFacts } | undefined;
  #output: Written | undefined;
  #abort = new AbortController();

  constructor(tell: (event: RunEvent) => void) {
    this.#tell = tell;
  }

  /** @param session Number of the page; what pages that are gone have left is removed. */
  async start(session: number): Promise<Catalogue> {
    this.#storage = await storageFiles('pare');
    this.#folder = `/run-${String(session)}`;
    for (const { name } of await this.#storage.list('/')) {
      const owner = Number(/^run-(\d+)$/.exec(name)?.[1]);
      if (owner !== session && !(await isRunning(owner))) await this.#storage.remove(`/${name}`);
    }
    await this.#storage.makeFolder(this.#folder);
    const host = await this.#open({});
    const backends = await host.backends();
    return {
      presets: host.plugins.flatMap(({ plugin }) => {
        if (plugin.$$type !== '@pare/preset') return [];
        const calibrated = plugin.recipe.stages.some(({ technique }) => host.plugin('technique', technique).plugin.scope === 'block');
        return [{ id: plugin.id, title: plugin.title, summary: plugin.summary, calibrated }];
      }),
      backends: backends.map(({ id, title, score, reason, chosen }) => ({ id, title, score, reason, chosen })),
      storage: (await this.#storage.freeBytes('/')) === undefined ? 'memory' : 'disk',
    };
  }

  async open(name: string, files: readonly (readonly [path: string, content: Blob])[]): Promise<ModelFacts> {
    const path = `/models/${name}`;
    const host = await this.#open({ [path]: memoryFiles(Object.fromEntries(files)) });
    const found = await host.inspect(path);
    const facts: ModelFacts = {
      name,
      architecture: found.architecture,
      modelType: found.modelType,
      parameters: found.parameters,
      bytes: found.bytes,
      bitsPerWeight: found.bitsPerWeight,
      blocks: found.blocks,
      hiddenSize: found.hiddenSize,
      vocabularySize: found.vocabularySize,
      maxPositions: found.maxPositions,
      tokenizer: found.companionFiles.includes('tokenizer.json'),
      compressed: found.modules.some(({ form }) => form === 'quantized'),
    };
    this.#model = { name, path, facts };
    return facts;
  }

  async plan(settings: Settings): Promise<PlanFacts> {
    const { host, model } = this.#opened();
    const plan = await host.plan(requestOf(settings, model.path));
    return {
      backend: plan.backend.id,
      modules: plan.stages.reduce((sum, stage) => sum + stage.modules.length, 0),
      outputBytes: plan.outputBytes,
      bitsPerWeight: plan.bitsPerWeight,
      peakMemoryBytes: plan.peakMemoryBytes,
      diskBytes: plan.diskBytes,
      seconds: plan.seconds,
    };
  }

  async compress(settings: Settings): Promise<Outcome> {
    const { host, model } = this.#opened();
    this.#abort = new AbortController();
    const { signal } = this.#abort;
    const started = performance.now();
    await using backend = await host.openBackend(settings.backend);
    await using source = await host.openModel(model.path, { signal });
    using _events = this.#forward(host, backend);

    const write = async (of: Model, step: Step): Promise<string | undefined> => {
      if (!model.facts.tokenizer || settings.newTokens === 0) return undefined;
      this.#tell({ kind: 'step', step });
      return this.#generate(of, backend, settings, step, signal);
    };
    const textBefore = await write(source, 'write-before');
    const name = `${model.name}-${settings.preset}`;
    const path = `${this.#folder}/${name}`;
    const result = await this.#run(host, {
      ...requestOf(settings, model.path),
      model: source,
      backend,
      output: path,
      signal,
      evaluate: {
        evaluators: model.facts.tokenizer ? ['size', 'perplexity'] : ['size'],
        commonOptions: { samples: settings.evaluationSamples, sequenceLength: settings.sequenceLength },
        data: textSource(settings.evaluation),
      },
    });
    await using compressed = await host.openModel(path, { signal });
    const textAfter = await write(compressed, 'write-after');
    const files = [...result.formats.flatMap((format) => format.files), { path: 'pare.json', bytes: (await this.#files.status(`${path}/pare.json`))?.bytes ?? 0 }];
    this.#output = { name, path, files };
    return {
      name,
      backend: result.backend,
      seconds: (performance.now() - started) / 1000,
      before: result.metricsBefore,
      after: result.metrics,
      textBefore,
      textAfter,
      files,
      fallbacks: result.stages.flatMap(({ fallbacks }) => fallbacks),
    };
  }

  cancel(): Promise<void> {
    this.#abort.abort();
    return Promise.resolve();
  }

  async zip(): Promise<Blob> {
    const { name, path, files } = this.#written();
    const entries = files.map((file) => ({ name: `${name}/${file.path}`, size: file.bytes, input: this.#files.chunks(`${path}/${file.path}`) }));
    // Weights do not deflate; the archive is stored as it is, and never held whole by this code.
    return downloadZip(entries).blob();
  }

  async saveTo(folder: FileSystemDirectoryHandle): Promise<void> {
    const { name, path, files } = this.#written();
    const target = await folder.getDirectoryHandle(name, { create: true });
    for (const file of files) {
      const handle = await target.getFileHandle(file.path, { create: true });
      const writable = await handle.createWritable();
      for await (const piece of this.#files.chunks(`${path}/${file.path}`)) await writable.write(piece as Uint8Array<ArrayBuffer>);
      await writable.close();
    }
  }

  /** A fresh host over the page's storage and these models. */
  async #open(models: Readonly<Record<string, FileSystem>>): Promise<Host> {
    await this.#host?.close();
    this.#model = undefined;
    this.#output = undefined;
    this.#files = mountFiles(this.#storage, models);
    this.#host = await createHost({ plugins: await loadPlugins(), services: [provide(fileSystemRef, {}, () => this.#files)] });
    return this.#host;
  }

  #opened(): { host: Host; model: { readonly name: string; readonly path: string; readonly facts: ModelFacts } } {
    if (this.#host === undefined || this.#model === undefined) throw new Error('no model is open');
    return { host: this.#host, model: this.#model };
  }

  #written(): Written {
    if (this.#output === undefined) throw new Error('nothing was written yet');
    return this.#output;
  }

  /** Goes on where an earlier run of the same settings was stopped, else starts anew. */
  async #run(host: Host, request: CompressionRequest): Promise<CompressionResult> {
    try {
      return await host.compress({ ...request, overwrite: true, resume: true });
    } catch (error) {
      if (!isPareError(error) || error.code !== 'PARE_RESUME_MISMATCH') throw error;
      return host.compress({ ...request, overwrite: true });
    }
  }

  async #generate(model: Model, backend: Backend, settings: Settings, step: Step, signal: AbortSignal): Promise<string> {
    const tokenizer = await openTokenizer(model.directory, model.files);
    const prompt = tokenizer.encode(settings.prompt);
    const room = model.description.maxPositions - prompt.length;
    const text = (tokens: readonly number[]): string => tokenizer.decode([...prompt, ...tokens], { skipSpecialTokens: true });
    const [tokens] = await generateTokens({
      model,
      backend,
      signal,
      prompts: [prompt],
      maxNewTokens: Math.max(0, Math.min(settings.newTokens, room)),
      pick: (logits) => pickToken(logits, { temperature: 0, topK: 0, topP: 1 }, Math.random),
      done: (made) => {
        this.#tell({ kind: 'text', step, text: text(made) });
        this.#tell({ kind: 'progress', step, fraction: made.length / settings.newTokens, detail: `${String(made.length)} of ${String(settings.newTokens)} tokens` });
        return made.at(-1) === tokenizer.eosToken;
      },
    });
    return text(tokens ?? []);
  }

  /** The host's events as the page shows them, until disposed. */
  #forward(host: Host, backend: Backend): Disposable {
    const { events } = host;
    let step: Step = 'write-before';
    let blocks = 0;
    let blocksDone = 0;
    let loss: number | undefined;
    let stage = '';
    const enter = (next: Step): void => {
      step = next;
      this.#tell({ kind: 'step', step });
    };
    const measuring = (): void => {
      if (step === 'write-before') enter('measure-before');
      else if (step === 'save') enter('measure-after');
    };
    events.on('evaluation:start', measuring);
    events.on('stage:start', (event) => {
      blocks = event.blocks;
      blocksDone = 0;
      stage = event.technique;
      enter('compress');
    });
    events.on('block:start', () => {
      loss = undefined;
    });
    events.on('module:done', ({ report }) => {
      if (report.loss !== undefined) loss = (loss ?? 0) + report.loss;
    });
    events.on('block:done', (event) => {
      blocksDone++;
      this.#tell({ kind: 'layer', stage, layer: event.block, layers: event.blocks, loss, seconds: event.seconds, restored: event.restored });
      this.#tell({ kind: 'progress', step, fraction: blocksDone / blocks, detail: `layer ${String(blocksDone)} of ${String(blocks)} done` });
    });
    events.on('format:start', () => {
      enter('save');
    });
    events.on('progress', ({ completed, total, detail, task }) => {
      const fraction = total === 0 ? 0 : completed / total;
      if (step === 'compress') this.#tell({ kind: 'progress', step, fraction: blocksDone / blocks, detail: `${detail ?? task} (${String(completed)} of ${String(total)})` });
      else this.#tell({ kind: 'progress', step, fraction, detail: detail ?? task });
    });
    events.on('warning', ({ message }) => {
      this.#tell({ kind: 'warning', message });
    });
    let heap: number | undefined;
    events.on('memory', ({ residentBytes }) => {
      heap = residentBytes;
    });
    const timer = setInterval(() => {
      const { bytes, peakBytes } = backend.memory();
      this.#tell({ kind: 'memory', device: bytes, devicePeak: peakBytes, heap });
    }, 500);
    return {
      [Symbol.dispose]() {
        clearInterval(timer);
        events.removeAllListeners();
      },
    };
  }
}

function requestOf(settings: Settings, model: string): PlanRequest {
  const { preset, set, backend, calibration, samples, sequenceLength } = settings;
  return { model, recipe: preset, set, backend, formats: ['hf'], calibration: { data: textSource(calibration), samples, sequenceLength } };
}

/** A text that is read when it is needed. */
function textSource(choice: TextChoice): TextSource {
  if (typeof choice !== 'string') return { name: choice.name, text: () => choice.text() };
  return {
    name: new URL(choice).pathname.split('/').at(-1)!,
    async text() {
      const response = await fetch(choice);
      if (!response.ok) throw new Error(`${choice} cannot be fetched: status ${String(response.status)}`);
      return response.text();
    },
  };
}
