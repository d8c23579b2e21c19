import { createRandom, isPareError } from '@pare/core';
import { createColumnSolver, quantizerRule, type ColumnRule, type ColumnSolver, type FactorizeRequest, type InverseFactor, type SweepQuantizer } from '@pare/solvers';
import { readFileSync } from 'node:fs';
import { afterAll, describe, expect, it } from 'vitest';
import { relativeError } from './relative-error.js';

export interface ColumnSolverConformanceOptions {
  /** Folder with statistics of real layers: `stats_l0_q.safetensors`, `stats_l5_down.safetensors`, each with a weight `W` and a Hessian `H`. */
  readonly statistics: string;
  /** The solver, on a device as it is. */
  readonly solver: ColumnSolver;
  /** The same where so little fits into a binding that rows and windows are cut. */
  readonly small: ColumnSolver;
  /** The same with bindings of 4 KiB, which hold no Hessian of 24 columns. */
  readonly narrow: ColumnSolver;
}

/** Weight and Hessian of a real layer. The file is read here: the package that reads models is tested on backends, and must not be needed by them. */
function golden(folder: string, layer: string): { weight: Float32Array; gram: Float64Array; rows: number; size: number } {
  const bytes = readFileSync(`${folder}/stats_${layer}.safetensors`);
  const start = 8 + Number(bytes.readBigUInt64LE());
  const header = JSON.parse(bytes.toString('utf8', 8, start)) as Record<string, { readonly shape: number[]; readonly data_offsets: [number, number] }>;
  const part = (name: string): ArrayBuffer => bytes.buffer.slice(bytes.byteOffset + start + header[name]!.data_offsets[0], bytes.byteOffset + start + header[name]!.data_offsets[1]) as ArrayBuffer;
  const [rows, size] = header['W']!.shape as [number, number];
  return { weight: new Float32Array(part('W')), gram: new Float64Array(part('H')), rows, size };
}

const quantizer = (changes: Partial<SweepQuantizer>): SweepQuantizer => ({
  ...{ bits: 4, symmetric: true, groupSize: 64, staticGroups: false, clip: 'minmax', scaleType: 'float32' },
  ...changes,
});

function share(a: ArrayLike<number>, b: ArrayLike<number>): number {
  let equal = 0;
  for (let index = 0; index < b.length; index++) if (a[index] === b[index]) equal += 1;
  return a.length === b.length ? equal / b.length : 0;
}

function random(count: number, seed: number): Float32Array {
  const next = createRandom(seed);
  return Float32Array.from({ length: count }, () => next() + next() - 1);
}

/** Σ x xᵀ of random rows. */
function gramOf(size: number, tokens: number, seed: number): Float64Array {
  const inputs = random(size * tokens, seed);
  const gram = new Float64Array(size * size);
  for (let token = 0; token < tokens; token++) {
    for (let i = 0; i < size; i++) for (let j = 0; j < size; j++) gram[i * size + j]! += inputs[token * size + i]! * inputs[token * size + j]!;
  }
  return gram;
}

/** Checks a device's column solver against the one in WebAssembly. The solvers are disposed at the end. */
export function describeColumnSolver(name: string, { statistics, solver, small, narrow }: ColumnSolverConformanceOptions): void {
  describe(`${name} column solver`, () => {
    const reference = createColumnSolver({ threads: 0 });
    afterAll(async () => {
      for (const opened of [solver, small, narrow, reference]) await opened.dispose();
    });

    describe.each(['l0_q', 'l5_down'])('the statistics of %s', async (layer) => {
      const { weight, gram, rows, size } = golden(statistics, layer);
      // Each order is factorized once: it takes a while in software.
      const factors = new Map<boolean, Promise<readonly [InverseFactor, InverseFactor]>>();
      const factorsOf = (actOrder: boolean): Promise<readonly [InverseFactor, InverseFactor]> => {
        const request: FactorizeRequest = { gram, size, damping: 0.01, dampingIncrement: 0, actOrder };
        const known = factors.get(actOrder) ?? Promise.all([solver.factorize(request), reference.factorize(request)]);
        factors.set(actOrder, known);
        return known;
      };

      it.each([false, true])('are factorized to float32 precision, act-order %s', async (actOrder) => {
        const [actual, expected] = await factorsOf(actOrder);
        expect(actual.order).toEqual(expected.order);
        expect(actual.damping).toBe(expected.damping);
        // The factorization carries more digits than the result is rounded to.
        expect(relativeError(actual.upper, expected.upper)).toBeLessThan(2e-7);
        for (let i = 0; i < size; i++) expect(Math.abs(actual.upper[i * size + i]! / expected.upper[i * size + i]! - 1)).toBeLessThan(3e-7);
      });

      const variants: Partial<SweepQuantizer>[] = [
        {},
        { symmetric: false, staticGroups: true },
        { bits: 3, groupSize: -1 },
        { symmetric: false, groupSize: 48, scaleType: 'float16' },
        { groupSize: 128, scaleType: 'bfloat16', clip: 'mse' },
        { bits: 8, symmetric: false, groupSize: 16 },
      ];
      const orders = layer === 'l0_q' ? [false, true] : [true];
      it.each(variants.flatMap((changes) => orders.map((actOrder) => ({ name: JSON.stringify(changes), changes, actOrder }))))(
        'give the codes of the CPU: $name, act-order $actOrder',
        async ({ changes, actOrder }) => {
          const rule = quantizerRule(quantizer(changes));
          // A part of the rows tells as much and takes less time in software.
          const count = Math.min(rows, 96);
          const part = weight.subarray(0, count * size);
          const [factor, wanted] = await factorsOf(actOrder);
          const actual = await solver.sweep({ weight: part, rows: count, factor, rule });
          const expected = await reference.sweep({ weight: part, rows: count, factor: wanted, rule });
          const same = share(actual.result.codes, expected.result.codes);
          expect(same).toBeGreaterThanOrEqual(0.995);
          const apart = Array.from(actual.result.scales, (scale, index) => Math.abs(scale / expected.result.scales[index]! - 1));
          // Grids of original weights differ by rounding alone; those of compensated weights follow every code of their row that differs.
          const dynamic = changes.staticGroups !== true && changes.groupSize !== -1;
          if (dynamic) expect(apart.reduce((sum, value) => sum + value, 0) / apart.length).toBeLessThan(1e-3);
          else expect(Math.max(...apart)).toBeLessThan(2e-7);
          expect(Math.abs(actual.loss / expected.loss - 1)).toBeLessThan(0.005);
          expect(actual.result.groupIndex).toEqual(expected.result.groupIndex);
          expect(actual.result.scheme).toEqual(expected.result.scheme);
          if (changes.symmetric === false) expect(share(actual.result.zeros!, expected.result.zeros!)).toBeGreaterThan(0.99);
          else expect(actual.result.zeros).toBeUndefined();
        },
      );
    });

    describe('awkward sizes', () => {
      it.each([1, 2, 31, 33, 65, 90])('of %i columns', async (size) => {
        const rows = 7;
        const gram = gramOf(size, 2 * size, size);
        // A dead column.
        if (size > 2) for (let i = 0; i < size; i++) gram[i * size + 1] = gram[size + i] = 0;
        const weight = random(rows * size, 3);
        const request: FactorizeRequest = { gram, size, damping: 0.01, dampingIncrement: 0, actOrder: true };
        const expected = await reference.factorize(request);
        // Not symmetric: the largest weight of a symmetric group lies exactly between two codes, and few codes make such a toss count for much.
        const rule = quantizerRule(quantizer({ groupSize: 20, symmetric: false }));
        const wanted = await reference.sweep({ weight, rows, factor: expected, rule });
        for (const chosen of [solver, small]) {
          const factor = await chosen.factorize(request);
          expect(relativeError(factor.upper, expected.upper)).toBeLessThan(2e-7);
          expect(factor.dead).toEqual(expected.dead);
          const { result, rowLosses } = await chosen.sweep({ weight, rows, factor, rule });
          expect(share(result.codes, wanted.result.codes)).toBeGreaterThanOrEqual(0.995);
          expect(relativeError(rowLosses, wanted.rowLosses)).toBeLessThan(1e-3);
        }
      });

      it('cuts rows and windows of U', async () => {
        const [rows, size] = [300, 90];
        const gram = gramOf(size, 200, 1);
        const weight = random(rows * size, 5);
        const factor = await reference.factorize({ gram, size, damping: 0.01, dampingIncrement: 0, actOrder: false });
        const rule = quantizerRule(quantizer({ groupSize: 32, symmetric: false }));
        const wanted = await reference.sweep({ weight, rows, factor, rule });
        const actual = await small.sweep({ weight, rows, factor, rule });
        expect(share(actual.result.codes, wanted.result.codes)).toBeGreaterThanOrEqual(0.995);
      });
    });

    it('raises damping until the Hessian is positive definite, or fails', async () => {
      const size = 40;
      const gram = gramOf(size, 60, 9);
      // Takes more from the diagonal than damping of 1 % gives back.
      let mean = 0;
      for (let i = 0; i < size; i++) mean += gram[i * size + i]! / size;
      for (let i = 0; i < size; i++) gram[i * size + i]! -= 0.12 * mean;
      const request: FactorizeRequest = { gram, size, damping: 0.01, dampingIncrement: 0.02, actOrder: false };
      const [actual, expected] = [await solver.factorize(request), await reference.factorize(request)];
      expect(actual.damping).toBe(expected.damping);
      expect(actual.damping).toBeGreaterThan(0.01);
      const failure = await solver.factorize({ ...request, dampingIncrement: 0 }).then(
        () => undefined,
        (error: unknown) => error,
      );
      expect(isPareError(failure) && failure.code).toBe('PARE_FACTORIZATION_FAILED');
    });

    it('refuses weights that are not finite', async () => {
      const factor = await solver.factorize({ gram: gramOf(4, 9, 1), size: 4, damping: 0.01, dampingIncrement: 0, actOrder: false });
      const weight = Float32Array.of(1, 2, NaN, 4);
      const failure = await solver.sweep({ weight, rows: 1, factor, rule: quantizerRule(quantizer({})) }).then(
        () => undefined,
        (error: unknown) => error,
      );
      expect(isPareError(failure) && failure.code).toBe('PARE_WEIGHT_NOT_FINITE');
    });

    it('leaves other rules to the solver in WebAssembly', async () => {
      const rule: ColumnRule<number> = {
        id: 'halves',
        begin: ({ rows }) => ({
          lookahead: () => 0,
          observe: () => undefined,
          settle: (_position, weights, settled) => settled.set(weights.map((value) => value / 2)),
          finish: () => rows,
        }),
      };
      const factor = await solver.factorize({ gram: gramOf(8, 20, 1), size: 8, damping: 0.01, dampingIncrement: 0, actOrder: false });
      const request = { weight: random(24, 1), rows: 3, factor, rule };
      expect(await solver.sweep(request)).toEqual(await reference.sweep(request));
    });

    it('leaves masks to the solver in WebAssembly', async () => {
      const factor = await solver.factorize({ gram: gramOf(8, 20, 1), size: 8, damping: 0.01, dampingIncrement: 0, actOrder: false });
      const mask = Uint8Array.from({ length: 24 }, (_, index) => index % 2);
      const request = { weight: random(24, 1), rows: 3, factor, rule: quantizerRule(quantizer({ groupSize: -1 }), mask) };
      expect(await solver.sweep(request)).toEqual(await reference.sweep(request));
    });

    it('takes Hessians beyond a binding to the host', async () => {
      const request: FactorizeRequest = { gram: gramOf(24, 40, 1), size: 24, damping: 0.01, dampingIncrement: 0, actOrder: false };
      expect(await narrow.factorize(request)).toEqual(await reference.factorize(request));
    });
  });
}
