import type { Terminal } from './terminal/terminal.js';

/** The signal of a run and what made it fire. */
export interface Interruption extends Disposable {
  readonly signal: AbortSignal;
  /** Exit code of the interruption (128 + the signal's number), undefined while there was none. */
  readonly exitCode: 130 | 143 | undefined;
}

/** First Ctrl-C (or SIGTERM): asks the run to stop cleanly. Second: leaves at once. */
export function watchInterrupts(terminal: () => Terminal): Interruption {
  const controller = new AbortController();
  let exitCode: 130 | 143 | undefined;
  const onSignal = (code: 130 | 143) => () => {
    if (exitCode !== undefined) process.exit(code);
    exitCode = code;
    terminal().note('stopping at the next safe point; press Ctrl-C again to stop at once');
    controller.abort();
  };
  const onInterrupt = onSignal(130);
  const onTerminate = onSignal(143);
  process.on('SIGINT', onInterrupt);
  process.on('SIGTERM', onTerminate);
  return {
    signal: controller.signal,
    get exitCode() {
      return exitCode;
    },
    [Symbol.dispose]: () => {
      process.off('SIGINT', onInterrupt);
      process.off('SIGTERM', onTerminate);
    },
  };
}
