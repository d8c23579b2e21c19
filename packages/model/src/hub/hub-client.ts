import { pareError, throwIfAborted } from '@pare/core';
import { failureReason } from '@pare/platform';
import { unreadable } from '../store/read-file.js';

/** Where models come from when nothing else is said. */
export const defaultEndpoint = 'https://huggingface.co';

export interface HubClientOptions {
  /** Address of the hub; `HF_ENDPOINT`, else huggingface.co. */
  readonly endpoint?: string | undefined;
  /** Access token; `HF_TOKEN` by default. Sent to the hub only, never to where it redirects. */
  readonly token?: string | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** Requests to one hub on behalf of one model: adds token and cancellation, and turns failures into errors of the catalogue. */
export class HubClient {
  readonly endpoint: string;
  readonly model: string;
  readonly #token: string | undefined;
  readonly #signal: AbortSignal | undefined;

  constructor(model: string, options: HubClientOptions) {
    this.model = model;
    this.endpoint = (options.endpoint ?? (process.env['HF_ENDPOINT'] || defaultEndpoint)).replace(/\/+$/, '');
    this.#token = options.token ?? (process.env['HF_TOKEN'] || undefined);
    this.#signal = options.signal;
  }

  /** What the hub library needs to know in every call. */
  get parameters(): { readonly hubUrl: string; readonly fetch: typeof fetch } {
    return { hubUrl: this.endpoint, fetch: this.fetch };
  }

  /** `fetch` for the hub library. */
  readonly fetch: typeof fetch = async (input, init) => {
    const url = new URL(input instanceof Request ? input.url : input);
    const headers = new Headers(init?.headers);
    if (this.#token !== undefined && url.origin === new URL(this.endpoint).origin) headers.set('Authorization', `Bearer ${this.#token}`);
    return fetch(input, { ...init, headers, ...(this.#signal === undefined ? {} : { signal: this.#signal }) });
  };

  /** A failure of a request as an error of the catalogue. */
  explain(cause: unknown): Error {
    throwIfAborted(this.#signal, `downloading ${this.model}`);
    const { model, endpoint } = this;
    const path = (cause as NodeJS.ErrnoException | null)?.path;
    if (path !== undefined) return unreadable(path, cause);
    const status = (cause as { statusCode?: unknown } | null)?.statusCode;
    // Without a token the hub answers 401 for models that do not exist.
    if (status === 404 || (status === 401 && this.#token === undefined)) return pareError('PARE_HUB_NOT_FOUND', { model, endpoint }, cause);
    if (status === 401 || status === 403) return pareError('PARE_HUB_ACCESS_DENIED', { model, endpoint }, cause);
    if (typeof status === 'number') return pareError('PARE_HUB_UNREACHABLE', { model, endpoint, reason: `it answered with status ${String(status)}` }, cause);
    return pareError('PARE_HUB_UNREACHABLE', { model, endpoint, reason: failureReason(cause) }, cause);
  }
}
