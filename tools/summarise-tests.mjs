// Adds up the test reports of all packages and ends with the line `N passed, N failed`. Plain Node, no packages.
import { existsSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { root } from './steps.mjs';

/** Folders that hold packages. */
const groups = ['packages', 'plugins', 'apps', 'tools'];

/** The page's own tests, which run where Chromium is. */
export const browserTests = 'examples/host-web';

/** Packages with tests: those with a vitest.config.ts. Paths relative to the repository. */
export function testedPackages(base = root) {
  return groups.flatMap((group) => {
    const folder = join(base, group);
    if (!existsSync(folder)) return [];
    return readdirSync(folder, { withFileTypes: true })
      .filter((entry) => entry.isDirectory() && existsSync(join(folder, entry.name, 'vitest.config.ts')))
      .map((entry) => `${group}/${entry.name}`);
  });
}

const reportOf = (base, name) => join(base, name, 'test-results', 'results.json');

/** True when a folder's tests have run. */
export function hasReport(name, base = root) {
  return existsSync(reportOf(base, name));
}

/** Deletes the reports of earlier runs, so that a stale one is never counted. */
export function clearReports(base = root) {
  for (const name of [...testedPackages(base), browserTests]) rmSync(join(base, name, 'test-results'), { recursive: true, force: true });
}

/** Counts of all reports and what is wrong, in words. A package without a report, or a file that did not load, counts as one failure. */
export function summarise(base = root) {
  let passed = 0;
  let failed = 0;
  const problems = [];
  for (const name of [...testedPackages(base), ...(hasReport(browserTests, base) ? [browserTests] : [])]) {
    const file = reportOf(base, name);
    let report;
    try {
      report = JSON.parse(readFileSync(file, 'utf8'));
    } catch {
      failed++;
      problems.push(`${name}: no test report`);
      continue;
    }
    passed += report.numPassedTests;
    failed += report.numFailedTests;
    for (const suite of report.testResults ?? []) {
      const path = suite.name.startsWith(base) ? suite.name.slice(base.length + 1) : suite.name;
      for (const test of suite.assertionResults ?? []) {
        if (test.status === 'failed') problems.push(`${path}: ${test.fullName}`);
        if (test.status === 'pending' || test.status === 'skipped' || test.status === 'todo') problems.push(`${path}: skipped: ${test.fullName}`);
      }
      if (suite.status === 'failed' && !(suite.assertionResults ?? []).some((test) => test.status === 'failed')) {
        failed++;
        problems.push(`${path}: the file did not run: ${(suite.message ?? '').split('\n')[0]}`);
      }
    }
    if (report.numTotalTests === 0) {
      failed++;
      problems.push(`${name}: no tests`);
    }
  }
  return { passed, failed, problems };
}

/** Prints problems and the line that others read. */
export function printSummary({ passed, failed, problems }) {
  if (problems.length > 0) console.log(`\n${problems.map((problem) => `  ${problem}`).join('\n')}\n`);
  console.log(`${passed} passed, ${failed} failed`);
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  const summary = summarise();
  printSummary(summary);
  process.exitCode = summary.failed === 0 ? 0 : 1;
}
