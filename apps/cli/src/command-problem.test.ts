import { describe, expect, it } from 'vitest';
import { commandProblem } from './command-problem.js';

describe('commandProblem', () => {
  it.each([
    ['compress ./model --recipe gptq-w4 --calibration text.txt --output ./small --memory 4GiB'],
    ['evaluate ./a ./b --recipe rtn-w4 --recipe gptq-w4 --set latency.threads=4'],
    ['plugins info gptq'],
    ['--version'],
  ])('has nothing to say about %s', async (line) => {
    expect(await commandProblem(line.split(' '))).toBeUndefined();
  });
  it.each([
    ['compres ./model', 'has no command "compres"'],
    ['compress ./model --recipe x --outptu y', 'has no option --outptu'],
    ['compress ./model --recipe x', 'needs --output'],
    ['plan', 'needs <model>'],
    ['plan ./model --recipe x --samples none', '--samples'],
    ['plan ./model --recipe x --set rtn', '--set'],
  ])('refuses %s', async (line, says) => {
    expect(await commandProblem(line.split(' '))).toContain(says);
  });
});
