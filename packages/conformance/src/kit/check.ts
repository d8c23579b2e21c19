import { isPareError } from '@pare/core';
import { afterAll, describe, it } from 'vitest';
import { describeFinding, describeThrown, type Finding } from './finding.js';

/** One thing that a suite looks at. It throws only where it cannot tell. */
export interface Check {
  /** What holds for a plugin without fault: `gives the same result for the same seed`. */
  readonly title: string;
  run(): Promise<readonly Finding[]>;
}

/** The checks of a plugin, and what they share. */
export interface CheckSuite {
  /** `technique mine` */
  readonly name: string;
  readonly checks: readonly Check[];
  /** Frees what the checks shared. */
  close(): Promise<void>;
}

/** A check whose plugin may throw where it should not: that is a finding, too. */
export function check(title: string, run: () => Promise<readonly Finding[]> | readonly Finding[]): Check {
  return {
    title,
    async run() {
      try {
        return await run();
      } catch (thrown) {
        const stack = thrown instanceof Error ? (thrown.stack ?? '') : '';
        const place = `the place it came from: ${stack.split('\n').filter((line) => /^ *at /.test(line)).slice(0, 3).map((line) => line.trim()).join(' < ')}`;
        // What is wrong with a plugin's call has its remedy in the catalogue.
        return [{ fault: `an error where none belongs, in "${title}"`, expected: 'no error', found: describeThrown(thrown), advice: isPareError(thrown) ? `${thrown.help} (${place})` : place }];
      }
    },
  };
}

/** Runs every check and returns what they found, without a test runner. */
export async function runChecks({ checks, close }: CheckSuite): Promise<readonly Finding[]> {
  const findings: Finding[] = [];
  try {
    for (const one of checks) findings.push(...(await one.run()));
  } finally {
    await close();
  }
  return findings;
}

/** Makes every check a test. Findings become the message of the failed test. */
export function declareChecks(suite: CheckSuite): void {
  describe(suite.name, () => {
    afterAll(() => suite.close());
    it.each(suite.checks.map((one) => [one.title, one] as const))('%s', async (_title, one) => {
      const findings = await one.run();
      // Without the stack of this line, which tells the author nothing.
      if (findings.length > 0) throw Object.assign(new Error(findings.map(describeFinding).join('\n\n')), { stack: '' });
    }, 120_000);
  });
}
