import './disposal';
import { processId } from '@pare/platform';
import { formatBytes } from '@pare/report';
import { duration, element, fillFacts } from './dom';
import { bundledModel, folderOfDrop, folderOfInput, type PickedFolder } from './model-files';
import type { Catalogue, Failure, ModelFacts, Settings } from './protocol';
import { showResult } from './result-view';
import { beginRun, endRun, onEvent, stopRun } from './run-view';
import { WorkerClient, WorkerFailure } from './worker-client';

const fields = element<HTMLFieldSetElement>('fields');
const preset = element<HTMLSelectElement>('preset');
const backend = element<HTMLSelectElement>('backend');
const inputs = {
  samples: element<HTMLInputElement>('samples'),
  length: element<HTMLInputElement>('length'),
  evaluationSamples: element<HTMLInputElement>('evaluation-samples'),
  prompt: element<HTMLInputElement>('prompt'),
  newTokens: element<HTMLInputElement>('new-tokens'),
  set: element<HTMLTextAreaElement>('set'),
};
const startButton = element<HTMLButtonElement>('start');
const cancelButton = element<HTMLButtonElement>('cancel');

let worker = new WorkerClient(onEvent);
let catalogue: Catalogue;
let folder: PickedFolder | undefined;
let model: ModelFacts | undefined;
let running = false;
const texts: { calibration?: File; evaluation?: File } = {};

// ── Messages

function show(failure: Failure): void {
  element('alert-message').textContent = failure.message;
  element('alert-help').textContent = failure.help ?? '';
  element('alert-code').textContent = failure.code ?? '';
  element('alert').hidden = false;
  element('alert').scrollIntoView({ block: 'nearest' });
}

function failureOf(error: unknown): Failure {
  if (error instanceof WorkerFailure) return error.failure;
  return { code: undefined, message: error instanceof Error ? error.message : String(error), help: undefined };
}

/** Runs what a click asks for; what goes wrong is shown. */
function act(work: () => Promise<void>): void {
  element('alert').hidden = true;
  work().catch((error: unknown) => {
    show(failureOf(error));
  });
}

element('alert-close').addEventListener('click', () => {
  element('alert').hidden = true;
});

// ── Model

const count = new Intl.NumberFormat('en', { maximumFractionDigits: 1, notation: 'compact' });
const exact = new Intl.NumberFormat('en');

async function load(picked: PickedFolder): Promise<void> {
  if (running) return;
  fields.disabled = true;
  element('plan').textContent = 'Reading the model…';
  try {
    model = await worker.call('open', picked.name.replaceAll('/', '-'), picked.files);
  } catch (error) {
    model = undefined;
    element('model-facts').hidden = true;
    element('plan').textContent = 'Choose a model first.';
    throw error;
  }
  folder = picked;
  element('model-name').textContent = model.name;
  fillFacts(element('facts'), [
    ['Architecture', model.modelType],
    ['Parameters', count.format(model.parameters)],
    ['Size', formatBytes(model.bytes)],
    ['Bits a weight', model.bitsPerWeight.toFixed(1)],
    ['Layers', String(model.blocks)],
    ['Hidden size', exact.format(model.hiddenSize)],
    ['Vocabulary', exact.format(model.vocabularySize)],
    ['Positions', exact.format(model.maxPositions)],
  ]);
  const notes = [];
  if (!model.tokenizer) notes.push('The folder has no tokenizer.json: only recipes without calibration can run, and nothing is measured or written.');
  if (model.compressed) notes.push('This model is compressed already.');
  element('model-note').textContent = notes.join(' ');
  element('model-facts').hidden = false;
  inputs.length.max = String(model.maxPositions);
  if (inputs.length.valueAsNumber > model.maxPositions) inputs.length.valueAsNumber = model.maxPositions;
  fields.disabled = false;
  await plan();
}

const folderInput = element<HTMLInputElement>('folder-input');
element('pick-folder').addEventListener('click', () => {
  folderInput.click();
});
folderInput.addEventListener('change', () => {
  if (folderInput.files === null || folderInput.files.length === 0) return;
  const picked = folderOfInput(folderInput.files);
  act(() => load(picked));
  folderInput.value = '';
});
element('use-bundled').addEventListener('click', () => {
  act(async () => {
    element('plan').textContent = 'Fetching the small model…';
    await load(await bundledModel());
  });
});

const drop = element('drop');
for (const name of ['dragenter', 'dragover']) {
  drop.addEventListener(name, (event) => {
    event.preventDefault();
    drop.classList.add('over');
  });
}
drop.addEventListener('dragleave', () => {
  drop.classList.remove('over');
});
drop.addEventListener('drop', (event) => {
  event.preventDefault();
  drop.classList.remove('over');
  if (event.dataTransfer === null) return;
  const picked = folderOfDrop(event.dataTransfer);
  act(async () => load(await picked));
});
// A folder dropped beside the field must not replace the page.
for (const name of ['dragover', 'drop']) window.addEventListener(name, (event) => event.preventDefault());

// ── Settings

function settings(): Settings {
  return {
    preset: preset.value,
    set: inputs.set.value.split('\n').map((line) => line.trim()).filter((line) => line !== ''),
    backend: backend.value,
    calibration: texts.calibration ?? new URL('texts/calibration.txt', document.baseURI).href,
    samples: inputs.samples.valueAsNumber,
    sequenceLength: inputs.length.valueAsNumber,
    evaluation: texts.evaluation ?? new URL('texts/evaluation.txt', document.baseURI).href,
    evaluationSamples: inputs.evaluationSamples.valueAsNumber,
    prompt: inputs.prompt.value,
    newTokens: inputs.newTokens.valueAsNumber,
  };
}

for (const kind of ['calibration', 'evaluation'] as const) {
  const input = element<HTMLInputElement>(`${kind}-input`);
  element(`${kind}-pick`).addEventListener('click', () => {
    input.click();
  });
  input.addEventListener('change', () => {
    const file = input.files?.[0];
    if (file === undefined) return;
    texts[kind] = file;
    element(`${kind}-name`).textContent = file.name;
  });
}

let planned = 0;

/** Shows what a run would take, or why it would be refused. */
async function plan(): Promise<void> {
  describeChoices();
  if (model === undefined || running) return;
  const form = element<HTMLFormElement>('settings');
  if (!form.checkValidity()) return;
  const mine = ++planned;
  const line = element('plan');
  try {
    const found = await worker.call('plan', settings());
    if (mine !== planned) return;
    line.classList.remove('refused');
    line.textContent = `${String(found.modules)} matrices. Weights: ${formatBytes(model.bytes)} → ${formatBytes(found.outputBytes)}, ${found.bitsPerWeight.toFixed(2)} bits a weight. Needs about ${formatBytes(found.peakMemoryBytes)} of memory, ${formatBytes(found.diskBytes)} of storage${catalogue.storage === 'memory' ? ' (in memory, too: this browser lends no private storage)' : ''}, and ${duration(found.seconds)} of computing on ${found.backend}.`;
    startButton.disabled = false;
  } catch (error) {
    if (mine !== planned) return;
    const { code, message, help } = failureOf(error);
    line.classList.add('refused');
    const sentence = help === undefined || /[.!?]$/.test(message) ? message : `${message}.`;
    line.textContent = [sentence, help, code === undefined ? '' : `(${code})`].filter((part) => part !== '' && part !== undefined).join(' ');
    startButton.disabled = true;
  }
}

function describeChoices(): void {
  const recipe = catalogue.presets.find(({ id }) => id === preset.value);
  element('preset-summary').textContent = recipe?.summary ?? '';
  inputs.samples.disabled = recipe?.calibrated === false;
  element<HTMLButtonElement>('calibration-pick').disabled = inputs.samples.disabled;
  const best = catalogue.backends.find(({ chosen }) => chosen);
  const chosen = backend.value === 'auto' ? best : catalogue.backends.find(({ id }) => id === backend.value);
  element('backend-reason').textContent = chosen === undefined ? '' : `${chosen.title}: ${chosen.reason} (score ${String(chosen.score)})`;
}

for (const input of [preset, backend, ...Object.values(inputs)]) {
  input.addEventListener('change', () => {
    act(plan);
  });
}

// ── Run

/** How many runs were started: a late look at one must not meet the next. */
let runs = 0;

element('settings').addEventListener('submit', (event) => {
  event.preventDefault();
  act(run);
});

async function run(): Promise<void> {
  running = true;
  runs++;
  fields.disabled = true;
  element('result').hidden = true;
  beginRun();
  cancelButton.hidden = false;
  cancelButton.disabled = false;
  cancelButton.focus();
  try {
    const outcome = await worker.call('compress', settings());
    endRun(`Done in ${duration(outcome.seconds)} on ${outcome.backend}.`, true);
    showResult(outcome);
  } catch (error) {
    const failure = failureOf(error);
    endRun(failure.code === 'PARE_ABORTED' ? 'Cancelled. Finished layers are kept: the same run goes on where it stopped.' : 'Stopped by an error.', false);
    if (failure.code !== 'PARE_ABORTED') throw error;
  } finally {
    running = false;
    fields.disabled = model === undefined;
    cancelButton.hidden = true;
    if (element('result').hidden) startButton.focus();
  }
}

/** How long a worker may take to come to a safe point before it is ended. */
const patience = 8000;

cancelButton.addEventListener('click', () => {
  cancelButton.disabled = true;
  stopRun();
  const stopping = runs;
  void worker.call('cancel');
  window.setTimeout(() => {
    if (running && runs === stopping) act(restart);
  }, patience);
});

/** A new worker with the same model, after the old one would not stop. */
async function restart(): Promise<void> {
  worker.terminate();
  worker = new WorkerClient(onEvent);
  await worker.call('start', processId);
  if (folder !== undefined) await load(folder);
}

// ── Result

element('download').addEventListener('click', () => {
  act(async () => {
    const blob = await worker.call('zip');
    const link = document.createElement('a');
    link.href = URL.createObjectURL(blob);
    link.download = `${model?.name ?? 'model'}-${preset.value}.zip`;
    link.click();
    // The browser has begun to read by then.
    window.setTimeout(() => {
      URL.revokeObjectURL(link.href);
    }, 60_000);
  });
});

element('save').addEventListener('click', () => {
  const pick = (window as unknown as { showDirectoryPicker: (options: object) => Promise<FileSystemDirectoryHandle> }).showDirectoryPicker;
  act(async () => {
    let target: FileSystemDirectoryHandle;
    try {
      target = await pick.call(window, { mode: 'readwrite' });
    } catch (error) {
      // Closing the dialog is an answer, not a failure.
      if ((error as Error).name === 'AbortError') return;
      throw error;
    }
    await worker.call('saveTo', target);
    element('result-note').textContent = `Saved into ${target.name}.`;
  });
});

// ── Start

function option(value: string, text: string, selected = false): HTMLOptionElement {
  return new Option(text, value, selected, selected);
}

act(async () => {
  catalogue = await worker.call('start', processId);
  const best = catalogue.backends.find(({ chosen }) => chosen);
  preset.replaceChildren(...catalogue.presets.map(({ id, title }) => option(id, `${title} (${id})`, id === 'gptq-w4')));
  backend.replaceChildren(
    option('auto', `Best available${best === undefined ? '' : `: ${best.title}`}`, true),
    ...catalogue.backends.map(({ id, title, score }) => Object.assign(option(id, title), { disabled: score <= 0 })),
  );
  describeChoices();
  document.documentElement.dataset['ready'] = 'true';
});

if ('serviceWorker' in navigator && import.meta.env.PROD) {
  navigator.serviceWorker.register(new URL('service-worker.js', document.baseURI)).catch((error: unknown) => {
    element('offline').textContent = `This browser keeps nothing for the time without a network (${failureOf(error).message}).`;
  });
}
