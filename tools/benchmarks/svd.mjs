/* The 128 leading singular values of a 4096×4096 float32 matrix: seconds and error against scipy's best (LAPACK, svds and a randomised range finder on BLAS) on the same numbers. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { cpuBackend } from '@pare/backend-cpu';
import { createRandom } from '@pare/core';
import { backendProducts } from '@pare/factorization';
import { truncatedSvd } from '@pare/solvers';
import { round, runPeer, table } from './lib.mjs';

const size = Number(process.env['PARE_BENCH_SVD_SIZE'] ?? 4096);
const rank = Math.min(128, size >> 3);
const random = createRandom(1);
// Uniform noise with columns that fall off, as weights of trained layers do.
const data = Float32Array.from({ length: size * size }, (_, index) => (random() - 0.5) / Math.sqrt(1 + (index % size)));

const matrix = { data, rows: size, columns: size };
const { signal } = new AbortController();

const folder = mkdtempSync(join(tmpdir(), 'pare-bench-'));
const backend = await cpuBackend.create({ threads: 0 }, { log: console });
try {
  const rows = [[`rank ${rank} of ${size}×${size}`, 'seconds', 'processor seconds', '‖A − UΣVᵀ‖_F', '‖A − QQᵀA‖_F']];
  const time = async (name, work) => {
    const started = performance.now();
    const before = process.cpuUsage();
    const { error, bound } = await work();
    const { user, system } = process.cpuUsage(before);
    rows.push([name, round((performance.now() - started) / 1000), round((user + system) / 1e6), round(error, 5), round(bound, 5)]);
  };
  for (const powerIterations of [2, 8]) {
    await time(`pare, cpu backend, ${powerIterations} power iterations`, async () => {
      const products = backendProducts(backend);
      const result = await products.with(matrix, signal, (device) => truncatedSvd(matrix, { rank, powerIterations, products: device }));
      await products[Symbol.asyncDispose]();
      return result;
    });
  }
  await time('pare, one thread and no backend, 2 power iterations', () => truncatedSvd(matrix, { rank }));
  const path = join(folder, 'matrix.f32');
  writeFileSync(path, data);
  const peer = await runPeer('scipy_svd.py', [path, String(size), String(rank)]);
  for (const [name, result] of Object.entries(peer?.document ?? {})) rows.push([name, round(result.seconds), round(result.processor), round(result.error, 5), '']);
  table(rows);
  if (peer === undefined) process.stdout.write('Set PARE_BENCH_PYTHON to an interpreter with scipy for the comparison.\n');
} finally {
  await backend[Symbol.asyncDispose]();
  rmSync(folder, { recursive: true, force: true });
}
