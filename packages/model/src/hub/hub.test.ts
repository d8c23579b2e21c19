import { isPareError } from '@pare/core';
import { createHash } from 'node:crypto';
import { mkdir, mkdtemp, readdir, readFile, readlink, rm, writeFile } from 'node:fs/promises';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { defaultCacheDirectory } from './hub-cache.js';
import { resolveModel, type DownloadProgress } from './resolve-model.js';

const commit = 'c'.repeat(40);

/** The few routes of the hub's API that a download uses. */
class TestHub {
  readonly files = new Map<string, Buffer>();
  /** What `main` is answered with. */
  commit = commit;
  readonly requests: string[] = [];
  readonly authorizations = new Set<string | undefined>();
  /** Drop the connection of this file after so many bytes of an answer, so many times. */
  broken: { path: string; after: number; times: number } | undefined;
  /** Answer ranges with the whole file. */
  ignoresRanges = false;
  /** Answer everything with this status. */
  status: number | undefined;
  /** Serve other bytes than listed. */
  lying: string | undefined;
  readonly #server: Server = createServer((request, response) => this.#answer(request, response));

  async start(): Promise<void> {
    await new Promise<void>((started) => this.#server.listen(0, '127.0.0.1', started));
  }

  async stop(): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((stopped) => this.#server.close(stopped));
  }

  get endpoint(): string {
    return `http://127.0.0.1:${String((this.#server.address() as AddressInfo).port)}`;
  }

  #answer(request: IncomingMessage, response: ServerResponse): void {
    const url = new URL(request.url ?? '/', this.endpoint);
    this.requests.push(url.pathname + (request.headers.range === undefined ? '' : ` ${request.headers.range}`));
    this.authorizations.add(request.headers.authorization);
    const json = (status: number, value: unknown): void => {
      response.writeHead(status, { 'Content-Type': 'application/json' }).end(JSON.stringify(value));
    };
    if (this.status !== undefined) return json(this.status, { error: 'no' });
    if (url.pathname === '/api/models')
      return json(200, [
        { id: 'tiny/llama', _id: '1', lastModified: 0 },
        { id: 'other/thing', _id: '2', lastModified: 0 },
      ]);
    if (url.pathname === '/api/models/tiny/llama/revision/main') return json(200, { id: 'tiny/llama', _id: '1', sha: this.commit, lastModified: 0 });
    if (url.pathname === `/api/models/tiny/llama/tree/${commit}`)
      return json(200, [{ type: 'directory', path: 'onnx', size: 0, oid: 'x' }, ...this.#listing()]);
    const prefix = `/tiny/llama/resolve/${commit}/`;
    const path = decodeURIComponent(url.pathname.slice(prefix.length));
    const content = this.files.get(path);
    if (!url.pathname.startsWith(prefix) || content === undefined) return json(404, { error: 'Repository not found' });
    this.#send(request, response, path, this.lying === path ? Buffer.from(content.map((byte) => byte ^ 1)) : content);
  }

  #listing(): object[] {
    return [...this.files].map(([path, content]) => {
      const size = content.length;
      const oid = createHash('sha1')
        .update(`blob ${String(size)}\0`)
        .update(content)
        .digest('hex');
      const lfs = path.endsWith('.safetensors') ? { lfs: { oid: createHash('sha256').update(content).digest('hex'), size, pointerSize: 130 } } : {};
      return { type: 'file', path, size, oid, ...lfs };
    });
  }

  #send(request: IncomingMessage, response: ServerResponse, path: string, content: Buffer): void {
    const range = /^bytes=(\d+)-(\d+)$/.exec(request.headers.range ?? '');
    const start = range === null || this.ignoresRanges ? 0 : Number(range[1]);
    const body = content.subarray(start);
    response.writeHead(start > 0 ? 206 : 200, { 'Content-Length': body.length });
    if (this.broken?.path !== path || this.broken.times === 0) {
      response.end(body);
      return;
    }
    this.broken.times--;
    // The bytes must have left before the connection drops.
    response.write(body.subarray(0, this.broken.after), () => setTimeout(() => response.destroy(), 20));
  }
}

let folder: string;
let hub: TestHub;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'pare-hub-'));
});
afterAll(() => rm(folder, { recursive: true }));
beforeEach(async () => {
  vi.stubEnv('HF_TOKEN', '');
  vi.stubEnv('HF_HUB_OFFLINE', '');
  hub = new TestHub();
  await hub.start();
  hub.files.set('config.json', Buffer.from('{"model_type":"llama"}'));
  hub.files.set('tokenizer.json', Buffer.from('{}'));
  hub.files.set('empty.txt', Buffer.alloc(0));
  hub.files.set('LICENSE', Buffer.alloc(0));
  hub.files.set('model.safetensors', Buffer.from(Array.from({ length: 50_000 }, (_, index) => (index * 7) % 251)));
  hub.files.set('pytorch_model.bin', Buffer.alloc(100));
  hub.files.set('onnx/model.onnx', Buffer.alloc(100));
  hub.files.set('README.md', Buffer.from('# model'));
});
afterEach(async () => {
  vi.unstubAllEnvs();
  await hub.stop();
});

let counter = 0;
const newCache = (): string => join(folder, `cache-${String(counter++)}`);

async function failure(action: Promise<unknown>): Promise<{ code: string; message: string; help: string }> {
  const error: unknown = await action.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  if (!isPareError(error)) throw new Error(`expected a PareError, got ${String(error)}`);
  return error;
}

const resolved = () => hub.requests.filter((request) => request.includes('/resolve/')).map((request) => request.split(`${commit}/`)[1]);

describe('resolveModel for folders', () => {
  it('gives a folder back as an absolute path, without a request', async () => {
    expect(await resolveModel(folder)).toBe(resolve(folder));
    expect(hub.requests).toEqual([]);
  });

  it('suggests the nearest sibling of a folder that is not there', async () => {
    await mkdir(join(folder, 'models', 'llama'), { recursive: true });
    const error = await failure(resolveModel(join(folder, 'models', 'lama')));
    expect(error.code).toBe('PARE_MODEL_NOT_FOUND');
    expect(error.help).toContain(`"${join(folder, 'models', 'llama')}"`);
    await writeFile(join(folder, 'file'), '');
    expect((await failure(resolveModel(join(folder, 'file')))).message).toContain('it is a file');
    for (const name of ['gpt2', 'a/b/c', '../x/y', 'a//b', 'own er/name']) expect((await failure(resolveModel(name))).code).toBe('PARE_MODEL_NOT_FOUND');
    expect(hub.requests).toEqual([]);
  });

  it('takes a name below an existing folder for a slip when the hub does not know it', async () => {
    const error = await failure(resolveModel('src/hubb', { endpoint: hub.endpoint, cacheDirectory: newCache() }));
    expect(error.code).toBe('PARE_MODEL_NOT_FOUND');
    expect(error.help).toContain('"src/hub"');
  });
});

describe('resolveModel for hub names', () => {
  it('fetches what a model needs, and nothing the second time', async () => {
    const cacheDirectory = newCache();
    const progress: DownloadProgress[] = [];
    const path = await resolveModel('tiny/llama', { endpoint: `${hub.endpoint}/`, cacheDirectory, onProgress: (state) => progress.push(state) });
    expect(path).toBe(join(cacheDirectory, 'models--tiny--llama', 'snapshots', commit));
    expect((await readdir(path)).sort()).toEqual(['LICENSE', 'config.json', 'model.safetensors', 'tokenizer.json']);
    for (const file of await readdir(path)) expect(await readFile(join(path, file))).toEqual(hub.files.get(file));
    expect(await readFile(join(cacheDirectory, 'models--tiny--llama', 'refs', 'main'), 'utf8')).toBe(commit);
    expect(await readlink(join(path, 'config.json'))).toMatch(/^\.\.[\\/]\.\.[\\/]blobs[\\/][0-9a-f]{40}$/);
    const total = 22 + 2 + 50_000;
    expect(progress.at(-1)).toEqual({ file: 'model.safetensors', fileBytes: 50_000, fileTotalBytes: 50_000, bytes: total, totalBytes: total });
    expect(progress.map(({ bytes }) => bytes)).toEqual(progress.map(({ bytes }) => bytes).sort((a, b) => a - b));
    // Not even a connection for an empty file.
    expect(resolved().sort()).toEqual(['config.json', 'model.safetensors', 'tokenizer.json']);

    hub.requests.length = 0;
    expect(await resolveModel('tiny/llama', { endpoint: hub.endpoint, cacheDirectory })).toBe(path);
    expect(resolved()).toEqual([]);
  });

  it('continues a broken download where it stopped, across calls', async () => {
    const cacheDirectory = newCache();
    hub.broken = { path: 'model.safetensors', after: 20_000, times: 1 };
    const error = await failure(resolveModel('tiny/llama', { endpoint: hub.endpoint, cacheDirectory, retries: 0 }));
    expect(error.code).toBe('PARE_HUB_UNREACHABLE');
    hub.requests.length = 0;
    const path = await resolveModel('tiny/llama', { endpoint: hub.endpoint, cacheDirectory });
    expect(resolved()).toEqual(['model.safetensors bytes=20000-49999']);
    expect(await readFile(join(path, 'model.safetensors'))).toEqual(hub.files.get('model.safetensors'));
  });

  it('continues within a call, also from a server that ignores ranges', async () => {
    hub.broken = { path: 'model.safetensors', after: 30_000, times: 1 };
    hub.ignoresRanges = true;
    const path = await resolveModel('tiny/llama', { endpoint: hub.endpoint, cacheDirectory: newCache(), retries: 1 });
    expect(await readFile(join(path, 'model.safetensors'))).toEqual(hub.files.get('model.safetensors'));
    expect(resolved().filter((request) => request?.startsWith('model'))).toEqual(['model.safetensors', 'model.safetensors bytes=30000-49999']);
  });

  it.each(['model.safetensors', 'tokenizer.json'])('removes a damaged %s and says so', async (path) => {
    hub.lying = path;
    const cacheDirectory = newCache();
    const error = await failure(resolveModel('tiny/llama', { endpoint: hub.endpoint, cacheDirectory }));
    expect(error.code).toBe('PARE_HUB_DOWNLOAD_DAMAGED');
    expect(error.message).toContain(path);
    expect((await readdir(join(cacheDirectory, 'models--tiny--llama', 'blobs'))).filter((name) => name.endsWith('.incomplete'))).toEqual([]);
    hub.lying = undefined;
    await resolveModel('tiny/llama', { endpoint: hub.endpoint, cacheDirectory });
  });

  it('fetches exactly the shards of the index', async () => {
    const shard = Buffer.from('shard');
    hub.files.delete('model.safetensors');
    hub.files.set('model-1.safetensors', shard);
    hub.files.set('model-2.safetensors', Buffer.from('second'));
    hub.files.set('consolidated.safetensors', Buffer.alloc(10));
    hub.files.set('model.safetensors.index.json', Buffer.from(JSON.stringify({ weight_map: { a: 'model-1.safetensors', b: 'model-2.safetensors' } })));
    const path = await resolveModel('tiny/llama', { endpoint: hub.endpoint, cacheDirectory: newCache() });
    expect((await readdir(path)).filter((name) => name.includes('safetensors')).sort()).toEqual([
      'model-1.safetensors',
      'model-2.safetensors',
      'model.safetensors.index.json',
    ]);
  });

  const bad: [string, (hub: TestHub) => void, string, RegExp][] = [
    ['a repository without a configuration', ({ files }) => files.delete('config.json'), 'PARE_MODEL_NOT_FOUND', /no config\.json/],
    ['a repository without safetensors', ({ files }) => files.delete('model.safetensors'), 'PARE_WEIGHTS_MISSING', /pytorch_model\.bin, onnx\/model\.onnx/],
    [
      'an index that names a shard the repository lacks',
      ({ files }) => {
        files.delete('model.safetensors');
        files.set('model.safetensors.index.json', Buffer.from('{"weight_map":{"a":"model-9.safetensors"}}'));
      },
      'PARE_SHARD_MISSING',
      /model-9\.safetensors/,
    ],
    [
      'an index that climbs out of the folder',
      ({ files }) => {
        files.delete('model.safetensors');
        files.set('model.safetensors.index.json', Buffer.from('{"weight_map":{"a":"../../x.safetensors"}}'));
      },
      'PARE_SHARD_PATH_UNSAFE',
      /"\.\.\/\.\.\/x\.safetensors"/,
    ],
    ['a gated model', (server) => (server.status = 403), 'PARE_HUB_ACCESS_DENIED', /does not let you read "tiny\/llama"/],
    ['a hub that is down', (server) => (server.status = 503), 'PARE_HUB_UNREACHABLE', /status 503/],
    ['a name it answers 401 for', (server) => (server.status = 401), 'PARE_HUB_NOT_FOUND', /no model "tiny\/llama", and there is no such folder here/],
  ];
  it.each(bad)('refuses %s', async (_, prepare, code, message) => {
    prepare(hub);
    const error = await failure(resolveModel('tiny/llama', { endpoint: hub.endpoint, cacheDirectory: newCache(), retries: 0 }));
    expect(error.code).toBe(code);
    expect(error.message).toMatch(message);
  });

  it.each([['tiny/lama'], ['someone/Llama']])('suggests the nearest name for %s', async (name) => {
    const error = await failure(resolveModel(name, { endpoint: hub.endpoint, cacheDirectory: newCache() }));
    expect(error.code).toBe('PARE_HUB_NOT_FOUND');
    expect(error.help).toContain('Did you mean "tiny/llama"?');
  });

  it('sends the token to the hub, and takes 401 for a refusal then', async () => {
    vi.stubEnv('HF_TOKEN', 'secret');
    vi.stubEnv('HF_ENDPOINT', hub.endpoint);
    await resolveModel('tiny/llama', { cacheDirectory: newCache() });
    expect([...hub.authorizations]).toEqual(['Bearer secret']);
    hub.status = 401;
    expect((await failure(resolveModel('tiny/llama', { cacheDirectory: newCache() }))).code).toBe('PARE_HUB_ACCESS_DENIED');
  });

  it('uses a finished download when the hub cannot be reached, and only a finished one', async () => {
    const cacheDirectory = newCache();
    const stopped = new TestHub();
    await stopped.start();
    const { endpoint } = stopped;
    await stopped.stop();
    const error = await failure(resolveModel('tiny/llama', { endpoint, cacheDirectory }));
    expect(error.code).toBe('PARE_HUB_UNREACHABLE');
    expect(error.message).toMatch(/^cannot reach http:\/\/127\.0\.0\.1:\d+: .*ECONNREFUSED.*; and there is no folder "tiny\/llama" here$/);
    const path = await resolveModel('tiny/llama', { endpoint: hub.endpoint, cacheDirectory });
    expect(await resolveModel('tiny/llama', { endpoint, cacheDirectory })).toBe(path);
    hub.requests.length = 0;
    vi.stubEnv('HF_HUB_OFFLINE', '1');
    expect(await resolveModel('tiny/llama', { endpoint: hub.endpoint, cacheDirectory })).toBe(path);
    expect((await failure(resolveModel('tiny/llama', { endpoint: hub.endpoint, cacheDirectory, revision: 'v2' }))).message).toContain('HF_HUB_OFFLINE');
    expect(hub.requests).toEqual([]);
  });

  it('takes no hash or revision for a path', async () => {
    const cacheDirectory = newCache();
    const common = { endpoint: hub.endpoint, cacheDirectory };
    expect((await failure(resolveModel('tiny/llama', { ...common, revision: '../x' }))).code).toBe('PARE_MODEL_NOT_FOUND');
    hub.commit = '../../escape';
    const error = await failure(resolveModel('tiny/llama', common));
    expect(error.code).toBe('PARE_HUB_UNREACHABLE');
    expect(error.message).toContain('"../../escape" for a hash');
  });

  it('stops when cancelled', async () => {
    const controller = new AbortController();
    const action = resolveModel('tiny/llama', {
      endpoint: hub.endpoint,
      cacheDirectory: newCache(),
      signal: controller.signal,
      onProgress: () => controller.abort(),
    });
    expect((await failure(action)).code).toBe('PARE_ABORTED');
    expect((await failure(resolveModel('tiny/llama', { signal: AbortSignal.abort() }))).code).toBe('PARE_ABORTED');
  });

  it('says when the cache cannot be written', async () => {
    const file = join(folder, 'no-folder');
    await writeFile(file, '');
    expect((await failure(resolveModel('tiny/llama', { endpoint: hub.endpoint, cacheDirectory: join(file, 'cache') }))).code).toBe('PARE_FILE_UNREADABLE');
  });
});

describe('defaultCacheDirectory', () => {
  it.each([
    [{ HF_HUB_CACHE: '/a', HF_HOME: '/b' }, '/a'],
    [{ HUGGINGFACE_HUB_CACHE: '/c', HF_HOME: '/b' }, '/c'],
    [{ HF_HOME: '/b', XDG_CACHE_HOME: '/d' }, '/b/hub'],
    [{ XDG_CACHE_HOME: '/d' }, '/d/huggingface/hub'],
  ])('follows %j', (environment, expected) => {
    expect(defaultCacheDirectory(environment)).toBe(expected);
  });
});
