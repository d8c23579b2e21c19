import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { root } from './workspace.js';

const base = mkdtempSync(join(tmpdir(), 'pare-summary-'));

afterEach(() => {
  rmSync(base, { recursive: true, force: true });
});

/** A package with tests; without a report it did not run. */
function addPackage(name: string, report?: object): void {
  mkdirSync(join(base, 'packages', name, 'test-results'), { recursive: true });
  writeFileSync(join(base, 'packages', name, 'vitest.config.ts'), '');
  if (report !== undefined) writeFileSync(join(base, 'packages', name, 'test-results', 'results.json'), JSON.stringify(report));
}

function summarise(): { passed: number; failed: number; problems: string[] } {
  // The script is plain JavaScript that works before anything is installed; it is run as such.
  const script = `import { summarise } from ${JSON.stringify(join(root, 'tools/summarise-tests.mjs'))}; console.log(JSON.stringify(summarise(${JSON.stringify(base)})));`;
  return JSON.parse(execFileSync(process.execPath, ['--input-type=module', '--eval', script], { encoding: 'utf8' })) as ReturnType<typeof summarise>;
}

describe('the summary of tests', () => {
  it('adds up reports', () => {
    addPackage('a', { numPassedTests: 3, numFailedTests: 0, numTotalTests: 3, testResults: [] });
    addPackage('b', { numPassedTests: 4, numFailedTests: 0, numTotalTests: 4, testResults: [] });
    expect(summarise()).toEqual({ passed: 7, failed: 0, problems: [] });
  });

  it('counts failures, files that did not load, packages without tests or without a report', () => {
    const test = (status: string, fullName: string): object => ({ status, fullName });
    addPackage('failing', {
      numPassedTests: 1,
      numFailedTests: 1,
      numTotalTests: 3,
      testResults: [
        { name: join(base, 'packages/failing/a.test.ts'), status: 'failed', assertionResults: [test('passed', 'x'), test('failed', 'y'), test('skipped', 'z')] },
        { name: join(base, 'packages/failing/b.test.ts'), status: 'failed', assertionResults: [], message: 'SyntaxError: no\nat b' },
      ],
    });
    addPackage('empty', { numPassedTests: 0, numFailedTests: 0, numTotalTests: 0, testResults: [] });
    addPackage('silent');
    const summary = summarise();
    expect(summary).toMatchObject({ passed: 1, failed: 4 });
    expect(summary.problems.sort()).toEqual([
      'packages/empty: no tests',
      'packages/failing/a.test.ts: skipped: z',
      'packages/failing/a.test.ts: y',
      'packages/failing/b.test.ts: the file did not run: SyntaxError: no',
      'packages/silent: no test report',
    ]);
  });
});
