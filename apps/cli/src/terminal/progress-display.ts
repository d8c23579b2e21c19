import type { HostEvents } from '@pare/core';
import type { Host } from '@pare/runtime';
import { formatBytes } from '../values/bytes.js';
import { formatMetric, formatNamedMetric, formatSeconds } from '../values/numbers.js';
import { ProgressState, type HostEvent } from './progress-state.js';
import type { Style } from './style.js';
import type { Terminal } from './terminal.js';

/** Every event a display listens to. */
const eventNames = [
  'run:start',
  'stage:start',
  'block:start',
  'module:done',
  'block:done',
  'stage:done',
  'progress',
  'format:start',
  'format:done',
  'evaluation:start',
  'evaluation:done',
  'memory',
  'warning',
] as const satisfies readonly (keyof HostEvents)[];

/** Shows how a run goes, until it is stopped. */
export interface ProgressDisplay {
  /** Takes the live lines away and stops listening. */
  stop(): void;
}

const now = (): number => performance.now() / 1000;

/** Shows a host's work on standard error: one live display on a terminal, plain lines elsewhere, only warnings with `--quiet`. */
export async function showProgress(host: Host, terminal: Terminal): Promise<ProgressDisplay> {
  const state = new ProgressState();
  const view = terminal.quiet ? quietView(terminal) : canRedraw(terminal) ? await liveView(terminal) : plainView(terminal);
  const listeners = eventNames.map((type) => {
    const listener = (event: HostEvents[typeof type]): void => {
      const tagged = { type, event } as HostEvent;
      state.update(tagged, now());
      view.show(state, tagged);
    };
    host.events.on(type, listener as never);
    return { type, listener };
  });
  const timer = setInterval(() => {
    state.tick(now());
    view.refresh?.(state);
  }, 100);
  timer.unref();
  return {
    stop: () => {
      clearInterval(timer);
      for (const { type, listener } of listeners) host.events.off(type, listener as never);
      view.close?.();
    },
  };
}

/** A terminal with room for a display; pseudo-terminals of build systems may have no size. */
function canRedraw({ stderr }: Terminal): boolean {
  return stderr.isTTY === true && (stderr.rows ?? 24) > 0;
}

interface View {
  show(state: ProgressState, event: HostEvent): void;
  refresh?(state: ProgressState): void;
  close?(): void;
}

const warningLine = (style: Style, event: HostEvents['warning']): string => `${style.yellow(event.code)} ${event.message}`;

function quietView(terminal: Terminal): View {
  return {
    show: (_state, { type, event }) => {
      if (type === 'warning') terminal.warn(warningLine(terminal.noteStyle, event));
    },
  };
}

/** Seconds that a counted task must have taken before it is worth a line. */
const patience = 2;

/** Seconds without a line after which a counted task tells how far it is: minutes of training must not look like a hang. */
const heartbeat = 30;

/** A line for each thing that was finished, and for long work on the way there. */
export function plainView(terminal: Pick<Terminal, 'stderr' | 'noteStyle'>): View {
  let task = { name: '', since: 0, from: 0, completed: 0, quarter: 0 };
  let spoke = 0;
  const say = (state: ProgressState, line: string): void => {
    spoke = state.elapsed;
    terminal.stderr.write(`${line}\n`);
  };
  return {
    show: (state, { type, event }) => {
      const line = plainLine(state, { type, event } as HostEvent, terminal.noteStyle);
      if (line !== undefined) {
        say(state, line);
        return;
      }
      if (type !== 'progress' || event.total <= 0) return;
      const { completed, total } = event;
      if (task.name !== event.task || completed < task.completed) task = { name: event.task, since: state.elapsed, from: completed, completed, quarter: 0 };
      task.completed = completed;
      // Counted tasks speak up at each quarter, so that logs stay short; those of a stage with layers leave that to the layers.
      const quarter = state.blocks === 0 ? Math.floor((4 * completed) / total) : 0;
      const turned = quarter !== task.quarter;
      task.quarter = quarter;
      const seconds = state.elapsed - task.since;
      if (turned && quarter > 0 && seconds >= patience) say(state, taskText({ ...event, detail: undefined }));
      else if (state.elapsed - spoke >= heartbeat) {
        const done = completed - task.from;
        const left = done > 0 && completed < total ? `ETA ${formatSeconds(((total - completed) * seconds) / done)}` : '';
        say(state, [taskText(event), left].filter((part) => part !== '').join('  '));
      }
    },
  };
}

function plainLine(state: ProgressState, { type, event }: HostEvent, style: Style): string | undefined {
  switch (type) {
    case 'stage:start':
      return `${event.technique}: ${counted(event.modules, 'module')}${event.blocks > 0 ? ` in ${counted(event.blocks, 'layer')}` : ''}`;
    case 'block:done': {
      const parts = [`${event.technique}: layer ${String(event.block + 1)}/${String(event.blocks)}`, event.restored ? 'from the journal' : formatSeconds(event.seconds)];
      if (!event.restored && state.blockLoss !== undefined) parts.push(`loss ${formatMetric(state.blockLoss)}`);
      if (state.eta !== undefined && state.eta > 0) parts.push(`ETA ${formatSeconds(state.eta)}`);
      if (state.residentBytes !== undefined) parts.push(formatBytes(state.residentBytes));
      return parts.join(', ');
    }
    case 'stage:done':
      return `${event.technique}: done in ${formatSeconds(event.seconds)}`;
    case 'format:start':
      return `writing ${event.format}`;
    case 'format:done':
      return `wrote ${event.format}: ${String(event.files)} files, ${formatBytes(event.bytes)}`;
    case 'evaluation:start':
      return `measuring ${event.evaluator} of ${event.model}`;
    case 'evaluation:done':
      return (
        Object.entries(event.metrics)
          .map(([name, value]) => `${name} ${formatNamedMetric(name, value)}`)
          .join(', ') + (event.cached ? ' (cached)' : '')
      );
    case 'warning':
      return warningLine(style, event);
    default:
      return undefined;
  }
}

const counted = (count: number, what: string): string => `${String(count)} ${what}${count === 1 ? '' : 's'}`;

function taskText(event: HostEvents['progress']): string {
  const amount =
    event.unit === 'bytes' ? `${formatBytes(event.completed)} of ${formatBytes(event.total)}` : `${String(Number(event.completed.toFixed(1)))}/${String(event.total)} ${event.unit}`;
  return [event.task, amount, event.detail ?? ''].filter((part) => part !== '').join('  ');
}

/** The lines of the live display. */
export function liveLines(state: ProgressState, style: Style, columns: number): string[] {
  if (state.stage === undefined && state.task === undefined) return [];
  const fraction = state.fraction;
  const position = state.stages.length > 1 && state.blocks > 0 ? ` (${String(state.stageIndex + 1)} of ${String(state.stages.length)})` : '';
  const head = [style.bold(`${state.stage ?? state.task?.task ?? ''}${position}`)];
  if (state.blocks > 0) head.push(`layer ${String(Math.min(state.block + 1, state.blocks))}/${String(state.blocks)}`);
  if (fraction !== undefined) head.push(`${bar(fraction, 24, style)} ${String(Math.floor(100 * fraction)).padStart(3)} %`);
  head.push(style.dim(formatSeconds(state.elapsed)));
  if (state.eta !== undefined) head.push(`ETA ${formatSeconds(state.eta)}`);
  const lines = [head.join('  ')];
  if (state.module !== undefined) lines.push(`  ${state.module}${state.loss === undefined ? '' : `  loss ${formatMetric(state.loss)}`}`);
  if (state.task !== undefined) lines.push(`  ${taskText(state.task)}`);
  if (state.residentBytes !== undefined) lines.push(style.dim(`  memory ${formatBytes(state.residentBytes)}, peak ${formatBytes(state.peakBytes)}`));
  return lines.map((line) => clip(line, columns));
}

/** Cuts a line to the width of the terminal, so that it never wraps; lines with colours are short by construction. */
function clip(line: string, columns: number): string {
  return line.includes('\u001b') || line.length <= columns ? line : `${line.slice(0, Math.max(0, columns - 1))}…`;
}

function bar(fraction: number, width: number, style: Style): string {
  const full = Math.round(fraction * width);
  return style.cyan('━'.repeat(full)) + style.dim('─'.repeat(width - full));
}

async function liveView(terminal: Terminal): Promise<View> {
  const { createLogUpdate } = await import('log-update');
  const update = createLogUpdate(process.stderr);
  const draw = (state: ProgressState): void => {
    update(liveLines(state, terminal.noteStyle, (terminal.stderr.columns ?? 80) - 1).join('\n'));
  };
  terminal.interceptNotes((text) => {
    update.persist(text);
  });
  return {
    show: (_state, { type, event }) => {
      if (type === 'warning') update.persist(warningLine(terminal.noteStyle, event));
      else if (type === 'stage:done') update.persist(`${terminal.noteStyle.green('✓')} ${event.technique}  ${formatSeconds(event.seconds)}`);
      else if (type === 'format:done') update.persist(`${terminal.noteStyle.green('✓')} wrote ${event.format}  ${String(event.files)} files, ${formatBytes(event.bytes)}`);
    },
    // Drawn by the clock: a fast run has more events than an eye sees.
    refresh: draw,
    close: () => {
      terminal.interceptNotes(undefined);
      update.clear();
      update.done();
    },
  };
}
