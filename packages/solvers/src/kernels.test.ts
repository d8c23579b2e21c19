import { spawnSync } from 'node:child_process';
import path from 'node:path';
import { expect, it } from 'vitest';

it('has the kernels that assembly/ compiles to', () => {
  const { status, stderr } = spawnSync(process.execPath, [path.join(import.meta.dirname, '../scripts/embed.mjs'), '--check'], { encoding: 'utf8' });
  expect(stderr).toBe('');
  expect(status).toBe(0);
});
