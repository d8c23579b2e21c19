import type { FormatContext } from '@pare/core';

/** What a format gets to write `model` into `directory`, without a host. */
export function formatContext<O>(parts: Pick<FormatContext<O>, 'model' | 'options' | 'directory' | 'backend' | 'log'> & Partial<Pick<FormatContext<O>, 'signal'>>): FormatContext<O> {
  return { files: parts.model.files, signal: new AbortController().signal, seed: 0, progress: { report: () => undefined }, services: {}, ...parts };
}
