/* The 128 leading singular values of a 4096×4096 float32 matrix: seconds and error against scipy's best (svds and a randomised range finder on BLAS) on the same numbers. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createRandom } from '@pare/core';
import { truncatedSvd } from '@pare/solvers';
import { round, runPeer, table } from './lib.mjs';

const size = Number(process.env['PARE_BENCH_SVD_SIZE'] ?? 4096);
const rank = Math.min(128, size >> 3);
const random = createRandom(1);
// Uniform noise with columns that fall off, as weights of trained layers do.
const data = Float32Array.from({ length: size * size }, (_, index) => (random() - 0.5) / Math.sqrt(1 + (index % size)));

const folder = mkdtempSync(join(tmpdir(), 'pare-bench-'));
try {
  const started = performance.now();
  const { error, bound } = await truncatedSvd({ data, rows: size, columns: size }, { rank });
  const seconds = (performance.now() - started) / 1000;
  const rows = [
    [`rank ${rank} of ${size}×${size}`, 'seconds', '‖A − UΣVᵀ‖_F', '‖A − QQᵀA‖_F'],
    ['pare, one thread', round(seconds), round(error, 5), round(bound, 5)],
  ];
  const path = join(folder, 'matrix.f32');
  writeFileSync(path, data);
  const peer = await runPeer('scipy_svd.py', [path, String(size), String(rank)]);
  for (const [name, result] of Object.entries(peer?.document ?? {})) rows.push([name, round(result.seconds), round(result.error, 5), '']);
  table(rows);
  if (peer === undefined) process.stdout.write('Set PARE_BENCH_PYTHON to an interpreter with scipy for the comparison.\n');
} finally {
  rmSync(folder, { recursive: true, force: true });
}
