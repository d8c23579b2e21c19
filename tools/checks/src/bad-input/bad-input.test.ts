import { describe, expect, it } from 'vitest';
import { badInputs } from './cases.js';
import { answerTo } from './run.js';

describe('bad input', () => {
  it.for(badInputs)('$name: $code', async (input) => {
    const { exitCode, stdout, stderr, before, after } = await answerTo(input);
    expect(stderr.split('\n').find((line) => line.startsWith('PARE_')) ?? stderr).toMatch(new RegExp(`^${input.code} `));
    expect(exitCode).toBe(2);
    for (const pattern of input.says) expect(stderr).toMatch(pattern);
    expect(stderr).not.toMatch(/^\s+at /m);
    expect(stdout).toBe('');
    expect(after).toEqual(before);
  });
});
