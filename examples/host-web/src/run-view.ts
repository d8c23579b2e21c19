import { formatBytes } from '@pare/report';
import { duration, element } from './dom';
import { steps, type RunEvent, type Step } from './protocol';

const stepTitles: Readonly<Record<Step, string>> = {
  'write-before': 'Write with the original',
  'measure-before': 'Measure the original',
  compress: 'Compress',
  save: 'Write and check files',
  'measure-after': 'Measure the result',
  'write-after': 'Write with the result',
};

let startedAt = 0;
let stepStartedAt = 0;
let current: { step: Step; fraction: number } | undefined;
let clock = 0;
let stopping = false;

/** Empties the view for a new run. */
export function beginRun(): void {
  startedAt = performance.now();
  current = undefined;
  stopping = false;
  element('run').hidden = false;
  element('layers').replaceChildren();
  element('layers-details').hidden = true;
  element('warnings').replaceChildren();
  element('loss').textContent = '–';
  element('status').textContent = 'Starting…';
  element('steps').replaceChildren(
    ...steps.map((step) => {
      const item = document.createElement('li');
      item.id = `step-${step}`;
      item.textContent = stepTitles[step];
      return item;
    }),
  );
  clock = window.setInterval(tick, 500);
}

/** Says that the run was asked to stop. */
export function stopRun(): void {
  stopping = true;
  element('status').textContent = 'Stopping at the next safe point…';
}

/** Shows how a run ended. */
export function endRun(status: string, done: boolean): void {
  window.clearInterval(clock);
  element('status').textContent = status;
  element('clock').textContent = '';
  if (done) markSteps(undefined);
}

/** Shows what a run tells. */
export function onEvent(event: RunEvent): void {
  switch (event.kind) {
    case 'step':
      current = { step: event.step, fraction: 0 };
      stepStartedAt = performance.now();
      element<HTMLProgressElement>('progress').value = 0;
      element('status').textContent = stepTitles[event.step];
      markSteps(event.step);
      break;
    case 'progress':
      current = { step: event.step, fraction: Math.min(1, event.fraction) };
      element<HTMLProgressElement>('progress').value = current.fraction;
      if (!stopping) element('status').textContent = `${stepTitles[event.step]}: ${event.detail}`;
      break;
    case 'layer': {
      const row = element<HTMLTableSectionElement>('layers').insertRow();
      const loss = event.loss === undefined ? '–' : event.loss.toPrecision(4);
      row.insertCell().textContent = `${String(event.layer + 1)} of ${String(event.layers)} (${event.stage})`;
      for (const value of [loss, event.restored ? 'kept' : event.seconds.toFixed(1)]) {
        const cell = row.insertCell();
        cell.className = 'figure';
        cell.textContent = value;
      }
      element('layers-details').hidden = false;
      element('loss').textContent = loss;
      break;
    }
    case 'text':
      element(event.step === 'write-before' ? 'text-before' : 'text-after').textContent = event.text;
      break;
    case 'memory':
      element('device-memory').textContent = formatBytes(event.device);
      element('device-peak').textContent = formatBytes(event.devicePeak);
      element('heap').hidden = event.heap === undefined;
      if (event.heap !== undefined) element('heap-memory').textContent = formatBytes(event.heap);
      break;
    case 'warning': {
      const item = document.createElement('li');
      item.textContent = event.message;
      element('warnings').append(item);
    }
  }
}

/** Marks the steps before this one as done; all of them after the last. */
function markSteps(now: Step | undefined): void {
  for (const step of steps) {
    const item = element(`step-${step}`);
    item.classList.toggle('done', now === undefined || steps.indexOf(step) < steps.indexOf(now));
    if (step === now) item.setAttribute('aria-current', 'step');
    else item.removeAttribute('aria-current');
  }
  if (now === undefined) element<HTMLProgressElement>('progress').value = 1;
}

function tick(): void {
  const now = performance.now();
  const elapsed = `${duration((now - startedAt) / 1000)} so far`;
  const spent = (now - stepStartedAt) / 1000;
  // A guess from the first few percent would jump.
  const left = current !== undefined && current.fraction > 0.05 && spent > 1 ? `, about ${duration((spent * (1 - current.fraction)) / current.fraction)} left in this step` : '';
  element('clock').textContent = elapsed + left;
}
