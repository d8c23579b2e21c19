import { pareError } from '@pare/core';
import { describe, expect, it } from 'vitest';
import { describeError, printError } from './print-error.js';
import { liveLines, plainView } from './progress-display.js';
import { ProgressState, type HostEvent } from './progress-state.js';
import { createStyle, visibleLength, wantsColor } from './style.js';
import { formatPairs, formatTable, wrapText } from './table.js';
import { createTerminal, type TerminalOptions } from './terminal.js';

const sink = (isTTY = false) => {
  const lines: string[] = [];
  return { isTTY, columns: 80, lines, write: (text: string) => (lines.push(text), true), text: () => lines.join('') };
};
const options: TerminalOptions = { color: true, json: false, quiet: false, debug: false };

describe('wantsColor', () => {
  it.each([
    ['a terminal', true, {}, true, true],
    ['a pipe', false, {}, true, false],
    ['NO_COLOR', true, { NO_COLOR: '1' }, true, false],
    ['an empty NO_COLOR', true, { NO_COLOR: '' }, true, true],
    ['--no-color against FORCE_COLOR', true, { FORCE_COLOR: '1' }, false, false],
    ['FORCE_COLOR in a pipe', false, { FORCE_COLOR: '1' }, true, true],
    ['a dumb terminal', true, { TERM: 'dumb' }, true, false],
  ])('%s', (_name, isTTY, env, flag, expected) => {
    expect(wantsColor({ isTTY }, env, flag)).toBe(expected);
  });
});

describe('tables', () => {
  it('aligns columns, colours included', () => {
    const red = createStyle(true).red;
    expect(visibleLength(red('ab'))).toBe(2);
    const table = formatTable([{ title: 'name' }, { title: 'size', align: 'right' }], [[red('a'), '1'], ['long name', '1000']]);
    expect(table.replaceAll(red('a'), 'a')).toBe('name       size\na             1\nlong name  1000');
  });
  it('aligns pairs and wraps text', () => {
    expect(formatPairs([['a', '1'], ['long', '2']])).toBe('a     1\nlong  2');
    expect(wrapText('one two three', 9, '  ')).toBe('  one two\n  three');
    expect(wrapText('unbreakableword x', 5)).toBe('unbreakableword\nx');
  });
});

describe('printError', () => {
  it('prints code, message, place and help, without a stack', () => {
    const stderr = sink();
    const stdout = sink();
    const error = pareError('PARE_TENSOR_UNKNOWN', { tensor: 'a.b', model: './m' });
    error.place = { plugin: 'technique "gptq"', stage: 'stage 1 (gptq)', module: 'layers.0' };
    expect(printError(error, createTerminal(stdout, stderr, {}, options))).toBe(2);
    expect(stderr.text()).toBe('PARE_TENSOR_UNKNOWN ./m has no tensor "a.b"\n  in technique "gptq", stage 1 (gptq), module layers.0\n  "pare inspect <model>" lists tensors.\n');
    expect(stdout.text()).toBe('');
  });
  it('shows the stacks of the error and its causes with --debug', () => {
    const stderr = sink();
    const error = pareError('PARE_FILE_UNREADABLE', { file: 'x', reason: 'y' }, new TypeError('inner'));
    printError(error, createTerminal(sink(), stderr, {}, { ...options, debug: true }));
    expect(stderr.text()).toContain('terminal.test.ts');
    expect(stderr.text()).toContain('caused by TypeError: inner');
  });
  it('puts the error into the document of --json', () => {
    const stdout = sink();
    printError(pareError('PARE_COMMAND_INVALID', { problem: 'p', help: 'h' }), createTerminal(stdout, sink(), {}, { ...options, json: true }));
    expect(JSON.parse(stdout.text())).toEqual({ error: { code: 'PARE_COMMAND_INVALID', message: 'p', help: 'h' } });
  });
  it('calls other errors defects, except those of the system that a user can mend', () => {
    expect(describeError(new TypeError('x is undefined'))).toMatchObject({ code: 'PARE_DEFECT', exitCode: 1, message: 'TypeError: x is undefined' });
    expect(describeError('thrown text')).toMatchObject({ code: 'PARE_DEFECT', exitCode: 1, message: 'thrown text' });
    expect(describeError(Object.assign(new Error('ENOSPC: no space left'), { code: 'ENOSPC' }))).toMatchObject({ code: 'ENOSPC', exitCode: 2 });
    expect(describeError(Object.assign(new Error('x'), { code: 'toString' }))).toMatchObject({ exitCode: 1 });
  });
});

const at = (state: ProgressState, time: number, type: HostEvent['type'], event: unknown): void => {
  state.update({ type, event } as HostEvent, time);
};

describe('ProgressState', () => {
  const start = (stages: string[], blocks: number): ProgressState => {
    const state = new ProgressState();
    at(state, 100, 'run:start', { model: 'm', stages, blocks });
    at(state, 100, 'stage:start', { stage: 0, technique: stages[0], modules: 7 * blocks, blocks });
    return state;
  };
  const block = (state: ProgressState, time: number, index: number, seconds: number, restored = false): void => {
    at(state, time - seconds, 'block:start', { stage: 0, technique: 'gptq', block: index, blocks: 4 });
    at(state, time, 'block:done', { stage: 0, technique: 'gptq', block: index, blocks: 4, seconds, restored });
  };

  it('estimates from the mean of the blocks done', () => {
    const state = start(['gptq'], 4);
    expect(state.eta).toBeUndefined();
    block(state, 102, 0, 2);
    block(state, 106, 1, 4);
    expect(state.eta).toBe(6);
    expect(state.fraction).toBe(0.5);
    expect(state.elapsed).toBe(6);
    at(state, 106, 'block:start', { stage: 0, technique: 'gptq', block: 2, blocks: 4 });
    state.tick(108);
    expect(state.eta).toBe(4);
    state.tick(1000);
    expect(state.eta).toBe(3);
  });
  it('counts later stages as if their blocks took as long', () => {
    const state = start(['smoothquant', 'gptq', 'rtn'], 4);
    block(state, 102, 0, 2);
    expect(state.eta).toBe((3 + 8) * 2);
  });
  it('ignores blocks from a journal in the estimate', () => {
    const state = start(['gptq'], 4);
    block(state, 100, 0, 0, true);
    expect(state.eta).toBeUndefined();
    block(state, 103, 1, 3);
    expect(state.eta).toBe(6);
  });
  it('sums losses of a block and keeps the peak of memory', () => {
    const state = start(['gptq'], 4);
    at(state, 101, 'block:start', { stage: 0, technique: 'gptq', block: 0, blocks: 4 });
    at(state, 101, 'module:done', { stage: 0, technique: 'gptq', module: 'a', report: { loss: 1 } });
    at(state, 101, 'module:done', { stage: 0, technique: 'gptq', module: 'b', report: { loss: 2 } });
    at(state, 101, 'module:done', { stage: 0, technique: 'gptq', module: 'c', report: {} });
    at(state, 102, 'memory', { residentBytes: 5, peakResidentBytes: 9 });
    at(state, 103, 'memory', { residentBytes: 4, peakResidentBytes: 7 });
    expect(state).toMatchObject({ module: 'c', loss: undefined, blockLoss: 3, residentBytes: 4, peakBytes: 9 });
  });
});

describe('live display', () => {
  it('shows stage, layer, share, module, loss, ETA and memory within the width', () => {
    const state = new ProgressState();
    at(state, 0, 'run:start', { model: 'm', stages: ['rtn', 'gptq'], blocks: 3 });
    at(state, 0, 'stage:start', { stage: 1, technique: 'gptq', modules: 21, blocks: 3 });
    at(state, 0, 'block:start', { stage: 1, technique: 'gptq', block: 0, blocks: 3 });
    at(state, 10, 'block:done', { stage: 1, technique: 'gptq', block: 0, blocks: 3, seconds: 10, restored: false });
    at(state, 10, 'block:start', { stage: 1, technique: 'gptq', block: 1, blocks: 3 });
    at(state, 12, 'module:done', { stage: 1, technique: 'gptq', module: 'model.layers.1.mlp.down_proj', report: { loss: 0.01234 } });
    at(state, 12, 'memory', { residentBytes: 2 ** 29, peakResidentBytes: 2 ** 30 });
    expect(liveLines(state, createStyle(false), 100)).toEqual([
      'gptq (2 of 2)  layer 2/3  ━━━━━━━━────────────────  33 %  12 s  ETA 18 s',
      '  model.layers.1.mlp.down_proj  loss 0.01234',
      '  memory 512 MiB, peak 1.00 GiB',
    ]);
    expect(Math.max(...liveLines(state, createStyle(false), 40).map((line) => line.length))).toBe(40);
  });
  it('is empty before anything starts', () => {
    expect(liveLines(new ProgressState(), createStyle(false), 80)).toEqual([]);
  });
});

describe('plain lines', () => {
  const run = (...events: HostEvent[]): string => {
    const stderr = sink();
    const view = plainView({ stderr, noteStyle: createStyle(false) });
    const state = new ProgressState();
    for (const [index, event] of events.entries()) {
      state.update(event, index);
      view.show(state, event);
    }
    return stderr.text();
  };
  it('has a line for each layer and file', () => {
    expect(
      run(
        { type: 'stage:start', event: { stage: 0, technique: 'gptq', modules: 14, blocks: 2 } },
        { type: 'block:start', event: { stage: 0, technique: 'gptq', block: 0, blocks: 2 } },
        { type: 'module:done', event: { stage: 0, technique: 'gptq', module: 'a', report: { loss: 0.5 } } },
        { type: 'block:done', event: { stage: 0, technique: 'gptq', block: 0, blocks: 2, seconds: 1.5, restored: false } },
        { type: 'block:done', event: { stage: 0, technique: 'gptq', block: 1, blocks: 2, seconds: 0, restored: true } },
        { type: 'stage:done', event: { stage: 0, technique: 'gptq', seconds: 1.5 } },
        { type: 'format:done', event: { format: 'hf', files: 3, bytes: 2048 } },
        { type: 'warning', event: { code: 'PARE_X', message: 'careful' } },
      ),
    ).toBe(
      [
        'gptq: 14 modules in 2 layers',
        'gptq: layer 1/2, 1.5 s, loss 0.5000, ETA 1.5 s',
        'gptq: layer 2/2, from the journal',
        'gptq: done in 1.5 s',
        'wrote hf: 3 files, 2.00 KiB',
        'PARE_X careful',
        '',
      ].join('\n'),
    );
  });
  it('tells of a counted task at each quarter, once it takes a while', () => {
    const download = (completed: number): HostEvent => ({ type: 'progress', event: { task: 'download', completed, total: 1000, unit: 'files', detail: undefined } });
    // One event a second: the first quarter comes too soon.
    expect(run(...[0, 250, 300, 499, 500, 600, 1000].map(download)).trim().split('\n')).toEqual(['download  500/1000 files', 'download  1000/1000 files']);
  });
  it('tells every half minute how far a long task of a stage is, and when it ends', () => {
    const step = (completed: number): HostEvent => ({ type: 'progress', event: { task: 'stage 1 (gkd)', completed, total: 120, unit: 'steps', detail: `loss ${String(completed)}` } });
    const events: HostEvent[] = [
      { type: 'stage:start', event: { stage: 0, technique: 'gkd', modules: 21, blocks: 1 } },
      { type: 'block:start', event: { stage: 0, technique: 'gkd', block: 0, blocks: 1 } },
      ...Array.from({ length: 75 }, (_, index) => step(index)),
    ];
    expect(run(...events).trim().split('\n')).toEqual([
      'gkd: 21 modules in 1 layer',
      'stage 1 (gkd)  28/120 steps  loss 28  ETA 1:32',
      'stage 1 (gkd)  58/120 steps  loss 58  ETA 1:02',
    ]);
    // A second layer begins its count anew.
    expect(run(...events.slice(0, 32), ...Array.from({ length: 40 }, (_, index) => step(index))).trim().split('\n')[2]).toBe('stage 1 (gkd)  28/120 steps  loss 28  ETA 1:32');
  });
});
