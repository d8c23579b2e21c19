import { copyTensor, hostTensor } from '@pare/core';
import { GraphBuilder } from '@pare/graph';
import { describe, expect, it } from 'vitest';
import { ExecutorBackend } from './backend.js';
import type { DeviceBuffer } from './device.js';
import { CountingDevice, recordingLanguage, recordingRoutines } from './testing.js';

it('warns once of work that it hands to the host, whatever the shapes', async () => {
  const warnings: string[] = [];
  const log = { warn: (message: string) => warnings.push(message) };
  await using backend = new ExecutorBackend({ id: 'counting', device: new CountingDevice(), language: recordingLanguage(), routines: recordingRoutines(), log });
  const builder = new GraphBuilder('wide');
  const x = builder.input('x', 'float64', ['rows', 3]);
  builder.output(builder.op('Add', [builder.op('Mul', [x, x]), x]), 'y');
  await using executable = await backend.compile(builder.build());
  for (const rows of [2, 2, 5]) {
    using input = backend.write(hostTensor('float64', [rows, 3]));
    const { y } = await executable.run({ x: input });
    expect(y!.shape).toEqual([rows, 3]);
    y![Symbol.dispose]();
  }
  expect(warnings).toEqual(['Mul runs on the host: kernels do not compute in float64', 'Add runs on the host: kernels do not compute in float64']);
});

describe('peers', () => {
  /** A device that copies from others of its kind where it can. */
  class CopyingDevice extends CountingDevice {
    readonly received: number[] = [];
    disposed = false;
    able = true;

    receive(_buffer: DeviceBuffer, _source: DeviceBuffer, _from: unknown, bytes: number): boolean {
      if (this.able) this.received.push(bytes);
      return this.able;
    }

    override [Symbol.asyncDispose](): Promise<void> {
      this.disposed = true;
      return Promise.resolve();
    }
  }
  const open = (device: CountingDevice, peers: readonly ExecutorBackend[] = []): ExecutorBackend =>
    new ExecutorBackend({ id: 'counting', device, language: recordingLanguage(), routines: recordingRoutines(), peers });

  it('give each other tensors without the host, and through it where they cannot', async () => {
    const [here, there] = [new CopyingDevice(), new CopyingDevice()];
    const peer = open(there);
    await using backend = open(here, [peer]);
    using tensor = peer.write(hostTensor('float32', [3, 2]));
    using direct = await copyTensor(tensor, peer, backend);
    expect([direct.dtype, direct.shape, here.received]).toEqual(['float32', [3, 2], [24]]);
    here.able = false;
    const live = here.live;
    using carried = await copyTensor(tensor, peer, backend);
    expect([carried.shape, here.received, here.live]).toEqual([[3, 2], [24], live + 1]);
    expect(backend.memory().tensors).toBe(2);
    // Devices that never copy do not say that they might.
    await using other = open(new CountingDevice());
    using last = await copyTensor(direct, backend, other);
    expect(last.shape).toEqual([3, 2]);
  });

  it('are disposed with their backend', async () => {
    const devices = [new CopyingDevice(), new CopyingDevice(), new CopyingDevice()] as const;
    await open(devices[0], [open(devices[1]), open(devices[2])])[Symbol.asyncDispose]();
    expect(devices.map(({ disposed }) => disposed)).toEqual([true, true, true]);
  });
});
