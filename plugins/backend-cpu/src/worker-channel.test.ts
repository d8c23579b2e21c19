import { isPareError } from '@pare/core';
import { afterEach, expect, it } from 'vitest';
import { WorkerChannel } from './worker-channel.js';

const explain = (): Error => new Error('unexpected');
const codeOf = (promise: Promise<unknown>): Promise<string> =>
  promise.then(
    () => 'none',
    (error: unknown) => (isPareError(error) ? error.code : String(error)),
  );
let channel: WorkerChannel | undefined;
afterEach(async () => {
  await channel?.close('the test ended');
});

it('rejects everything when the worker dies', async () => {
  channel = await WorkerChannel.open('cpu', 1);
  expect(await codeOf(channel.call({ kind: 'synchronize' }, explain))).toBe('none');
  // The worker reads a property of what it is sent.
  channel.notify(null as never);
  expect(await Promise.all([codeOf(channel.call({ kind: 'synchronize' }, explain)), codeOf(channel.call({ kind: 'read', id: 1 }, explain))])).toEqual([
    'PARE_BACKEND_LOST',
    'PARE_BACKEND_LOST',
  ]);
  expect(await codeOf(channel.call({ kind: 'synchronize' }, explain))).toBe('PARE_BACKEND_LOST');
  expect(() => {
    channel?.throwIfLost();
  }).toThrow('backend "cpu" is gone');
  channel.notifyIfAlive({ kind: 'dispose', id: 1 });
});

it('answers in order, failures included', async () => {
  channel = await WorkerChannel.open('cpu', 1);
  const answers: string[] = [];
  const failed = channel.call({ kind: 'read', id: 99 }, (failure) => new Error(failure.message)).catch((error: unknown) => answers.push(String(error)));
  const done = channel.call({ kind: 'synchronize' }, explain).then(() => answers.push('synchronized'));
  await Promise.all([failed, done]);
  expect(answers).toEqual(['Error: tensor 99 does not exist', 'synchronized']);
});
