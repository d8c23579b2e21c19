import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { describe, expect, it } from 'vitest';
import { root } from './workspace.js';

interface Proof {
  readonly told: string;
  readonly downloaded: number;
  readonly refusals: readonly (readonly [status: number, code: string])[];
  readonly [fact: string]: unknown;
}

describe('examples/host-node', () => {
  it('serves jobs from installed tarballs, as its README says, through cancellation and restarts', async () => {
    const { stdout } = await promisify(execFile)(process.execPath, [join(root, 'examples/host-node/prove.mjs')], { maxBuffer: 1 << 24 });
    const proof = JSON.parse(stdout) as Proof;
    // The lines of the README: presets, backends, progress, files.
    expect(proof.told).toContain('"id":"gptq-w4"');
    expect(proof.told).not.toContain('"id":"awq-w4"');
    expect(proof.told).toMatch(/"id":"metered","title":"[^"]*, metered","score":11\b.*"chosen":true/);
    expect(proof.told).toMatch(/event: running\ndata: .*"block":8,"blocks":8[^\n]*\n\nevent: done\ndata: .*"graphRuns":[1-9]/);
    expect(proof.downloaded).toBeGreaterThan(5_000_000);
    expect(proof.refusals).toEqual([
      [400, 'REQUEST_INVALID'],
      [400, 'REQUEST_INVALID'],
      [400, 'REQUEST_INVALID'],
      [422, 'NOT_IN_LIBRARY'],
      [422, 'PARE_FILE_UNREADABLE'],
      [422, 'PARE_PLUGIN_UNKNOWN'],
      [422, 'PARE_OPTIONS_INVALID'],
      [400, 'REQUEST_INVALID'],
      [422, 'PARE_MEMORY_LIMIT'],
      [404, 'JOB_UNKNOWN'],
      [404, 'ROUTE_UNKNOWN'],
    ]);
    expect(proof).toMatchObject({
      cancelled: ['cancelled', 'cancelled'],
      wrongState: [409, 404],
      traversal: 404,
      afterCancel: { state: 'done', result: { restoredBlocks: expect.any(Number) as number } },
      exitCode: 0,
      onDisk: 'running',
      afterRestart: { state: 'done' },
      states: ['done', 'cancelled', 'done'],
      same: true,
    });
    expect((proof['afterCancel'] as { result: { restoredBlocks: number } }).result.restoredBlocks).toBeGreaterThan(0);
    expect((proof['afterRestart'] as { result: { restoredBlocks: number } }).result.restoredBlocks).toBeGreaterThan(0);
    expect(proof['log']).toMatch(/"from":"pare","msg":"a host with \d+ plugins"/);
  }, 600_000);
});
