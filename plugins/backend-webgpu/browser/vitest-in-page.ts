import * as chai from 'chai';
import { JestAsymmetricMatchers, JestChaiExpect, JestExtend } from '@vitest/expect';

/*
 * As much of vitest as the conformance suite calls, for a page: the suite's file is bundled with this in vitest's place, so that the very same tests run in a browser.
 * `expect` is vitest's own.
 */

chai.use(JestExtend);
chai.use(JestChaiExpect);
chai.use(JestAsymmetricMatchers);

export const expect: unknown = chai.expect;

type Work = () => unknown;

interface Suite {
  readonly name: string;
  readonly tests: { readonly name: string; readonly work: Work }[];
  readonly suites: Suite[];
  readonly beforeAll: Work[];
  readonly afterAll: Work[];
  readonly beforeEach: Work[];
  readonly afterEach: Work[];
}

const emptySuite = (name: string): Suite => ({ name, tests: [], suites: [], beforeAll: [], afterAll: [], beforeEach: [], afterEach: [] });
const root = emptySuite('');
let current = root;

export function describe(name: string, define: () => void): void {
  const suite = emptySuite(name);
  current.suites.push(suite);
  const outer = current;
  current = suite;
  define();
  current = outer;
}

export function it(name: string, work: Work): void {
  current.tests.push({ name, work });
}

const filled = (name: string, values: readonly unknown[]): string => {
  let next = 0;
  return name.replace(/%[sij]/g, () => String(values[next++]));
};

it.each =
  (rows: readonly unknown[]) =>
  (name: string, work: (...values: unknown[]) => unknown): void => {
    for (const row of rows) {
      const values = Array.isArray(row) ? (row as unknown[]) : [row];
      it(filled(name, values), () => work(...values));
    }
  };

export const beforeAll = (work: Work): void => void current.beforeAll.push(work);
export const afterAll = (work: Work): void => void current.afterAll.push(work);
export const beforeEach = (work: Work): void => void current.beforeEach.push(work);
export const afterEach = (work: Work): void => void current.afterEach.push(work);

export interface PageResults {
  readonly passed: number;
  /** Name of the test and what was wrong. */
  readonly failures: readonly string[];
}

/** Runs everything that was defined. */
export async function runAll(): Promise<PageResults> {
  const failures: string[] = [];
  let passed = 0;
  const run = async (suite: Suite, path: readonly string[], before: readonly Work[], after: readonly Work[]): Promise<void> => {
    for (const work of suite.beforeAll) await work();
    const [starts, ends] = [[...before, ...suite.beforeEach], [...suite.afterEach, ...after]];
    for (const { name, work } of suite.tests) {
      try {
        for (const start of starts) await start();
        await work();
        for (const end of ends) await end();
        passed++;
      } catch (error) {
        failures.push(`${[...path, name].join(' > ')}: ${error instanceof Error ? error.message : String(error)}`);
      }
    }
    for (const inner of suite.suites) await run(inner, [...path, inner.name], starts, ends);
    for (const work of suite.afterAll) await work();
  };
  await run(root, [], [], []);
  return { passed, failures };
}
