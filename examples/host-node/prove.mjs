// Proves the example: packs the Pare packages that it uses, installs the tarballs beside a copy of it outside the repository, compiles it, and uses it as its README
// says: the curl lines as they stand, bad requests, cancellation, a restart in the middle of a run. Needs a build ("npm run build"), bash and curl.
// Prints one JSON document; what goes on is told on standard error.
import { execFile, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { npmInstall, packPackages, readJson, repository } from '../tarballs.mjs';

const example = dirname(fileURLToPath(import.meta.url));
const say = (text) => process.stderr.write(`${text}\n`);
const project = mkdtempSync(join(tmpdir(), 'pare-host-node-'));
let service;

/** Starts the service and waits until it listens. */
async function start() {
  const child = spawn(process.execPath, ['dist/main.js'], { cwd: project, env: { ...process.env, PARE_LIBRARY: join(repository, 'examples'), PARE_DATA: join(project, 'data'), PORT: '0' }, stdio: ['ignore', 'pipe', 'inherit'] });
  const exited = once(child, 'exit');
  let log = '';
  const address = await new Promise((resolve, reject) => {
    child.stdout.on('data', (chunk) => {
      log += chunk;
      const found = /Server listening at (http:[^"]+)/.exec(log);
      if (found !== null) resolve(found[1]);
    });
    exited.then(() => reject(new Error(`the service ended: ${log}`)), reject);
  });
  service = { child, exited, address, log: () => log };
}

async function stop(signal) {
  service.child.kill(signal);
  const [code] = await service.exited;
  return code;
}

/** A request; its status and its document. */
async function call(method, path, body) {
  const response = await fetch(`${service.address}${path}`, { method, ...(body === undefined ? {} : { headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) }) });
  const text = await response.text();
  return { status: response.status, body: text === '' ? undefined : JSON.parse(text) };
}

/** The jobs that a client is told of, until `enough` or the end. */
async function watch(id, enough = () => false) {
  const response = await fetch(`${service.address}/jobs/${id}/events`);
  const seen = [];
  let text = '';
  for await (const chunk of response.body.pipeThrough(new TextDecoderStream())) {
    text += chunk;
    const parts = text.split('\n\n');
    text = parts.pop();
    for (const part of parts) {
      const data = /^data: (.*)$/m.exec(part)?.[1];
      if (data !== undefined) seen.push(JSON.parse(data));
    }
    if (seen.some(enough)) break;
  }
  return seen;
}

try {
  say('packing');
  const manifest = readJson(join(example, 'package.json'));
  const packed = packPackages(Object.keys(manifest.dependencies), join(project, 'tarballs'));

  say('installing the tarballs');
  for (const name of ['src', 'tsconfig.json']) cpSync(join(example, name), join(project, name), { recursive: true });
  // The compiler is the repository's: one download less.
  const { typescript: _compiler, ...devDependencies } = manifest.devDependencies;
  writeFileSync(join(project, 'package.json'), JSON.stringify({ ...manifest, dependencies: { ...manifest.dependencies, ...packed }, devDependencies }));
  npmInstall(project);

  say('compiling');
  execFileSync(process.execPath, [createRequire(join(repository, 'package.json')).resolve('typescript/bin/tsc'), '-p', project], { stdio: ['ignore', 2, 'inherit'] });

  say('running the lines of the README');
  await start();
  const [, lines] = /```sh\n([\s\S]*?)```/.exec(readFileSync(join(example, 'README.md'), 'utf8'));
  const { stdout: told } = await promisify(execFile)('bash', ['-euo', 'pipefail', '-c', lines.replace('http://127.0.0.1:8080', service.address)], { cwd: project, maxBuffer: 1 << 26 });
  const downloaded = readFileSync(join(project, 'model.safetensors')).length;

  say('making mistakes');
  const model = 'models/tales-7m';
  const refusals = [];
  for (const body of [
    { model, recipe: 'rtn-w8', bits: 4 },
    { model, recipe: 8 },
    { model, recipe: '/etc/hostname' },
    { model: '../../../etc', recipe: 'rtn-w8' },
    { model: 'models', recipe: 'rtn-w8' },
    { model, recipe: 'rtn-w9' },
    { model, recipe: { version: 1, stages: [{ technique: 'rtn', options: { bits: 40 } }] } },
    { model, recipe: { version: 1, plugins: { lock: '/etc/hostname' }, stages: [{ technique: 'rtn' }] } },
    { model, recipe: 'gptq-w4', set: ['gptq.groupSize=32'], memory: 1000 },
  ]) {
    const { status, body: answer } = await call('POST', '/jobs', body);
    refusals.push([status, answer.error.code]);
  }
  refusals.push([(await call('GET', '/jobs/none')).status, 'JOB_UNKNOWN'], [(await call('GET', '/nothing')).status, 'ROUTE_UNKNOWN']);

  say('cancelling and going on');
  const request = { model, recipe: 'gptq-w4', set: ['gptq.groupSize=32', 'gptq.trueSequential=true'], calibration: { data: 'data/tales-calibration.txt', samples: 16, sequenceLength: 64 } };
  const first = (await call('POST', '/jobs', request)).body.id;
  const second = (await call('POST', '/jobs', { ...request, seed: 1 })).body.id;
  await watch(first, ({ progress }) => progress !== undefined);
  const cancelled = [(await call('POST', `/jobs/${second}/cancel`)).body.state, (await call('POST', `/jobs/${first}/cancel`)).body.state];
  const wrongState = [(await call('POST', `/jobs/${first}/cancel`)).status, (await call('GET', `/jobs/${first}/files/pare.json`)).status];
  await call('POST', `/jobs/${first}/resume`);
  const afterCancel = (await watch(first)).at(-1);
  const traversal = (await call('GET', `/jobs/${first}/files/..%2Fjob.json`)).status;

  say('stopping in the middle, and starting again');
  const kept = (await call('POST', '/jobs', { ...request, seed: 2 })).body.id;
  await watch(kept, ({ progress }) => progress !== undefined);
  const exitCode = await stop('SIGTERM');
  const onDisk = readJson(join(project, 'data/jobs', kept, 'job.json')).state;
  await start();
  await watch(kept, ({ progress, state }) => state === 'running' && progress !== undefined);
  await stop('SIGKILL');
  await start();
  const afterRestart = (await watch(kept)).at(-1);
  const states = (await call('GET', '/jobs')).body.map(({ state }) => state);
  const weights = (id) => readFileSync(join(project, 'data/jobs', id, 'output/model.safetensors'));
  const log = service.log();
  await stop('SIGTERM');
  process.stdout.write(`${JSON.stringify({ told, downloaded, refusals, cancelled, wrongState, afterCancel, traversal, exitCode, onDisk, afterRestart, states, same: weights(kept).equals(weights(first)), log }, undefined, 2)}\n`);
} finally {
  service?.child.kill('SIGKILL');
  rmSync(project, { recursive: true, force: true });
}
