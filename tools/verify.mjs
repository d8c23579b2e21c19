// npm run verify: everything that must hold before a change is handed in. Works in a fresh clone with Node and npm alone.
// Ends with the line `N passed, N failed`; a step that fails counts as one failure.
import { join } from 'node:path';
import { bin, build, install, requireNode, root, run, step } from './steps.mjs';
import { findChromium } from '../chromium.mjs';
import { browserTests, clearReports, hasReport, printSummary, summarise } from './summarise-tests.mjs';

requireNode();
const start = performance.now();
const failedSteps = [];

async function required(title, action) {
  if ((await step(title, action)) !== 0) failedSteps.push(title);
}

const node = process.execPath;
clearReports();
if ((await install()) !== 0) failedSteps.push('install');
if (failedSteps.length === 0) await required('build and type-check', build);
if (failedSteps.length === 0) {
  // Nx also refreshes its project graph here, which the lint rule about imports reads.
  await required('project references (nx sync:check)', () => run(node, [bin('nx'), 'sync:check']));
  // Each of the two keeps one core busy.
  const lint = async () => {
    await required('lint', () => run(node, [bin('eslint'), '--max-warnings', '0', '.']));
    await required('repository checks', () => run(node, [join(root, 'tools/checks/dist/main.js')]));
  };
  await Promise.all([lint(), required('documentation site', () => run(node, [join(root, 'apps/docs/dist/main.js')]))]);
  // What runs was compiled above, so the tests' own build tasks are left out; nothing comes from a cache. Three at a time keep two cores busy: some wait for npm or a browser.
  process.env.PARE_TEST_AGAINST_BUILD = '1';
  await step('tests', () => run(node, [bin('nx'), 'run-many', '-t', 'test', '--parallel=3', '--skip-nx-cache', '--exclude-task-dependencies', '--output-style=stream']));
  if (findChromium() !== undefined) {
    const code = await step('web page in Chromium', () => run(node, [join(root, browserTests, 'test/run.mjs')]));
    // Failed tests are counted from their report; without one the page could not be built.
    if (code !== 0 && !hasReport(browserTests)) failedSteps.push('web page in Chromium');
  } else if (process.env.CI) failedSteps.push('web page in Chromium (there is no Chromium)');
}

const summary = failedSteps.length > 0 && (failedSteps.includes('install') || failedSteps.includes('build and type-check')) ? { passed: 0, failed: 0, problems: [] } : summarise();
console.log(`\nverified in ${((performance.now() - start) / 60_000).toFixed(1)} minutes`);
printSummary({
  passed: summary.passed,
  failed: summary.failed + failedSteps.length,
  problems: [...failedSteps.map((title) => `step failed: ${title}`), ...summary.problems],
});
process.exitCode = summary.failed + failedSteps.length === 0 ? 0 : 1;
