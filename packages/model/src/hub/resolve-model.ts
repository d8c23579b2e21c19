import { isPareError, nearest, pareError, throwIfAborted } from '@pare/core';
import { retry } from '@pare/platform';
import { mkdir, readdir, readFile, stat } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import type { ReadableStream } from 'node:stream/web';
import { requireDiskSpace } from '../store/disk.js';
import { unreadable } from '../store/read-file.js';
import { indexFileName, isInsideFolder } from '../store/shard-index.js';
import { chooseFiles, chooseShards } from './choose-files.js';
import { downloadTo, type RemoteFile } from './download.js';
import { HubCache, defaultCacheDirectory, sizeOf } from './hub-cache.js';
import { HubClient, type HubClientOptions } from './hub-client.js';

/** How far a download has come. */
export interface DownloadProgress {
  /** The file that is arriving. */
  readonly file: string;
  /** Bytes of this file that are here, of how many. */
  readonly fileBytes: number;
  readonly fileTotalBytes: number;
  /** Bytes of all files known so far. */
  readonly bytes: number;
  readonly totalBytes: number;
}

export interface ResolveModelOptions extends HubClientOptions {
  /** Where downloads are kept; the cache that the Hugging Face libraries share, by default. */
  readonly cacheDirectory?: string | undefined;
  /** Branch, tag or commit; `main` by default. */
  readonly revision?: string | undefined;
  readonly onProgress?: ((progress: DownloadProgress) => void) | undefined;
  /** How often a file is taken up again after its connection broke, waiting 1, 2, 4, … seconds; 3 by default. */
  readonly retries?: number | undefined;
}

/**
 * The folder of a model: the folder itself when `name` is one, else the download of the hub's model `owner/name`. Only configuration,
 * tokenizer and safetensors files are fetched; what is in the cache already is kept, a broken download continues where it stopped, and
 * without a network (or with `HF_HUB_OFFLINE=1`) a finished download is used as it is.
 *
 * @throws PARE_MODEL_NOT_FOUND, PARE_HUB_NOT_FOUND with the nearest name, PARE_HUB_ACCESS_DENIED, PARE_HUB_UNREACHABLE,
 *   PARE_HUB_DOWNLOAD_DAMAGED, PARE_WEIGHTS_MISSING, PARE_SHARD_…, PARE_DISK_FULL
 */
export async function resolveModel(name: string, options: ResolveModelOptions = {}): Promise<string> {
  throwIfAborted(options.signal, `opening ${name}`);
  const status = await stat(name).catch(() => undefined);
  if (status?.isDirectory() === true) return resolve(name);
  if (status !== undefined) throw pareError('PARE_MODEL_NOT_FOUND', { model: name, reason: 'it is a file' });
  if (!/^[A-Za-z0-9][\w.-]*\/[A-Za-z0-9][\w.-]*$/.test(name)) throw await noSuchFolder(name);
  try {
    return await new Download(name, options).run();
  } catch (error) {
    const { path } = error as NodeJS.ErrnoException;
    if (path !== undefined) throw unreadable(path, error);
    // "models/lama" is more likely a slip than a model of somebody called "models" when that folder is here.
    const missing = isPareError(error) && (error.code === 'PARE_HUB_NOT_FOUND' || error.code === 'PARE_HUB_UNREACHABLE');
    if (missing && (await stat(dirname(name)).catch(() => undefined))?.isDirectory() === true) throw await noSuchFolder(name);
    throw error;
  }
}

async function noSuchFolder(name: string): Promise<Error> {
  const parent = dirname(name);
  const siblings = await readdir(parent).catch(() => []);
  return pareError('PARE_MODEL_NOT_FOUND', {
    model: name,
    reason: 'there is no such folder',
    nearest: nearest(
      name,
      siblings.map((sibling) => join(parent, sibling)),
    ),
  });
}

class Download {
  readonly #name: string;
  readonly #options: ResolveModelOptions;
  readonly #revision: string;
  readonly #cacheDirectory: string;
  readonly #cache: HubCache;
  readonly #client: HubClient;
  /** What went wrong with the last request for content; the library's streams fail with no more than a text. */
  #failure: unknown;

  constructor(name: string, options: ResolveModelOptions) {
    this.#name = name;
    this.#options = options;
    this.#revision = options.revision ?? 'main';
    if (!isInsideFolder(this.#revision)) throw pareError('PARE_MODEL_NOT_FOUND', { model: name, reason: `"${this.#revision}" is no revision` });
    this.#cacheDirectory = options.cacheDirectory ?? defaultCacheDirectory();
    this.#cache = new HubCache(this.#cacheDirectory, name);
    this.#client = new HubClient(name, options);
  }

  async run(): Promise<string> {
    if (process.env['HF_HUB_OFFLINE'] === '1')
      return this.#offline(pareError('PARE_HUB_UNREACHABLE', { model: this.#name, endpoint: this.#client.endpoint, reason: 'HF_HUB_OFFLINE is set' }));
    let commit: string;
    let listing: ReadonlyMap<string, RemoteFile>;
    try {
      commit = await this.#commit();
      listing = await this.#list(commit);
    } catch (cause) {
      const error = isPareError(cause) ? cause : this.#client.explain(cause);
      if (!isPareError(error) || error.code !== 'PARE_HUB_UNREACHABLE') throw error;
      return this.#offline(error);
    }
    const paths = [...listing.keys()];
    const { small, weights } = chooseFiles(this.#name, paths);
    const files = small.map((path) => listing.get(path)!);
    if (weights !== undefined) files.push(listing.get(weights)!);
    await this.#fetchAll(commit, files);
    if (weights === undefined) {
      const index = await readFile(join(this.#cache.snapshot(commit), indexFileName), 'utf8');
      await this.#fetchAll(
        commit,
        chooseShards(this.#name, index, paths).map((path) => listing.get(path)!),
      );
    }
    // Written last: a ref stands for a finished download.
    await this.#cache.writeRef(this.#revision, commit);
    return this.#cache.snapshot(commit);
  }

  async #offline(error: Error): Promise<string> {
    const folder = await this.#cache.finished(this.#revision);
    if (folder === undefined) throw error;
    return folder;
  }

  async #commit(): Promise<string> {
    const { modelInfo } = await import('@huggingface/hub');
    try {
      const { sha } = await modelInfo({ name: this.#name, revision: this.#revision, additionalFields: ['sha'], ...this.#client.parameters });
      this.#requireHash(sha);
      return sha;
    } catch (cause) {
      if (isPareError(cause)) throw cause;
      const error = this.#client.explain(cause);
      if (!isPareError(error) || error.code !== 'PARE_HUB_NOT_FOUND') throw error;
      throw pareError('PARE_HUB_NOT_FOUND', { model: this.#name, endpoint: this.#client.endpoint, nearest: await this.#nearest() }, cause);
    }
  }

  /** Hashes become names in the cache; what is none could lead out of it. */
  #requireHash(hash: unknown): void {
    if (typeof hash === 'string' && /^[0-9a-f]{40}([0-9a-f]{24})?$/.test(hash)) return;
    throw pareError('PARE_HUB_UNREACHABLE', { model: this.#name, endpoint: this.#client.endpoint, reason: `it answered with ${JSON.stringify(hash)} for a hash` });
  }

  /** A model of a similar name, when the hub's search finds one. */
  async #nearest(): Promise<string | undefined> {
    const { listModels } = await import('@huggingface/hub');
    const base = this.#name.split('/')[1]!;
    const found: string[] = [];
    try {
      for await (const { name } of listModels({ search: { query: base }, limit: 20, ...this.#client.parameters })) found.push(name);
    } catch {
      return undefined;
    }
    return nearest(this.#name, found) ?? found.find((candidate) => candidate.split('/')[1]?.toLowerCase() === base.toLowerCase());
  }

  async #list(commit: string): Promise<Map<string, RemoteFile>> {
    const { listFiles } = await import('@huggingface/hub');
    const files = new Map<string, RemoteFile>();
    for await (const { type, path, size, oid, lfs } of listFiles({ repo: this.#name, revision: commit, recursive: true, ...this.#client.parameters })) {
      if (type !== 'file') continue;
      this.#requireHash(lfs?.oid ?? oid);
      files.set(
        path,
        lfs === undefined ? { path, bytes: size, hash: oid ?? '', hashKind: 'git' } : { path, bytes: lfs.size, hash: lfs.oid, hashKind: 'sha256' },
      );
    }
    return files;
  }

  async #fetchAll(commit: string, files: readonly RemoteFile[]): Promise<void> {
    const wanted: RemoteFile[] = [];
    for (const file of files) if (!(await this.#cache.has(commit, file.path, file.bytes))) wanted.push(file);
    const totalBytes = files.reduce((sum, { bytes }) => sum + bytes, 0);
    const missingBytes = wanted.reduce((sum, { bytes }) => sum + bytes, 0);
    await mkdir(this.#cacheDirectory, { recursive: true });
    await requireDiskSpace(this.#cacheDirectory, missingBytes);
    let before = totalBytes - missingBytes;
    for (const file of wanted) {
      const start = before;
      await this.#fetch(commit, file, (fileBytes) =>
        this.#options.onProgress?.({ file: file.path, fileBytes, fileTotalBytes: file.bytes, bytes: start + fileBytes, totalBytes }),
      );
      before += file.bytes;
    }
  }

  async #fetch(commit: string, file: RemoteFile, onBytes: (bytes: number) => void): Promise<void> {
    const blob = this.#cache.blob(file.hash);
    if ((await sizeOf(blob)) !== file.bytes) {
      const retries = this.#options.retries ?? 3;
      await retry(
        () =>
          downloadTo(blob, file, (start) => this.#open(commit, file, start), onBytes).catch((cause: unknown) => {
            throw isPareError(cause) ? cause : this.#client.explain(this.#failure ?? cause);
          }),
        {
          what: `downloading ${this.#name}`,
          signal: this.#options.signal,
          again: (error, attempt) => (attempt < retries && isPareError(error) && error.code === 'PARE_HUB_UNREACHABLE' ? 2 ** attempt : undefined),
        },
      );
    }
    await this.#cache.place(commit, file.path, file.hash);
  }

  /** A file's content from a byte on. Plain range requests, which every mirror answers and which continue at any byte; not the chunk protocol. */
  async #open(commit: string, file: RemoteFile, start: number): Promise<ReadableStream<Uint8Array>> {
    const { downloadFile } = await import('@huggingface/hub');
    this.#failure = undefined;
    let skip = 0;
    const rangeFetch: typeof fetch = async (input, init) => {
      const response = await this.#client.fetch(input, init).catch((error: unknown) => {
        this.#failure = error;
        throw error;
      });
      if (!response.ok) this.#failure = { statusCode: response.status };
      // A server that ignores ranges sends the file from its beginning.
      if (response.status === 200) skip = start;
      return response;
    };
    const { endpoint } = this.#client;
    const url = `${endpoint}/${this.#name}/resolve/${commit}/${file.path.split('/').map(encodeURIComponent).join('/')}`;
    const downloadInfo = { size: file.bytes, etag: file.hash, url };
    const blob = await downloadFile({ repo: this.#name, path: file.path, revision: commit, hubUrl: endpoint, fetch: rangeFetch, xet: false, downloadInfo });
    const content = blob!.slice(start, file.bytes).stream() as ReadableStream<Uint8Array>;
    return content.pipeThrough(
      new TransformStream<Uint8Array, Uint8Array>({
        transform(chunk, controller) {
          const dropped = Math.min(skip, chunk.length);
          skip -= dropped;
          if (dropped < chunk.length) controller.enqueue(chunk.subarray(dropped));
        },
      }),
    );
  }
}
