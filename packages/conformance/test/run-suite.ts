import { execFile } from 'node:child_process';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';

/** One test of a suite that was run. */
export interface SuiteTest {
  /** Title of the outermost describe. */
  readonly suite: string;
  readonly title: string;
  readonly passed: boolean;
  readonly message: string;
}

interface Report {
  readonly testResults: readonly {
    readonly assertionResults: readonly {
      readonly ancestorTitles: readonly string[];
      readonly title: string;
      readonly status: string;
      readonly failureMessages: readonly string[];
    }[];
  }[];
}

/** Runs `<name>.suite.ts` of this folder in a vitest of its own, which may fail, and returns the tests that ran. */
export async function runSuite(name: string, pattern = ''): Promise<readonly SuiteTest[]> {
  const vitest = join(dirname(createRequire(import.meta.url).resolve('vitest/package.json')), 'vitest.mjs');
  const config = ['--config', join(import.meta.dirname, 'vitest.config.ts'), '--root', import.meta.dirname];
  const filter = pattern === '' ? [] : ['--testNamePattern', pattern];
  const outcome = await promisify(execFile)(process.execPath, [vitest, 'run', `${name}.suite.ts`, ...config, ...filter], { maxBuffer: 2 ** 28 }).catch(
    (error: unknown) => error as { stdout: string; stderr: string },
  );
  const start = outcome.stdout.indexOf('{');
  if (start < 0) throw new Error(`the suite did not run: ${outcome.stdout}${outcome.stderr}`);
  return (JSON.parse(outcome.stdout.slice(start)) as Report).testResults.flatMap(({ assertionResults }) =>
    assertionResults
      .filter(({ status }) => status === 'passed' || status === 'failed')
      .map(({ ancestorTitles, title, status, failureMessages }) => ({
        suite: ancestorTitles[0]!,
        title,
        passed: status === 'passed',
        message: failureMessages.join('\n'),
      })),
  );
}

/** Messages of the failed tests of one suite by title. */
export function failuresOf(tests: readonly SuiteTest[], suite: string): ReadonlyMap<string, string> {
  return new Map(tests.filter((test) => test.suite === suite && !test.passed).map(({ title, message }) => [title, message]));
}
