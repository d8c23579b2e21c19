import { fillTemplate } from '@pare/model';
import { describe, expect, it } from 'vitest';
import { parseChain } from './chain.js';
import { cotDistillationOptions } from './options.js';
import { chooseReasons, nothingLeftOut } from './reasons.js';

const { chainResponse, answerCue } = cotDistillationOptions.parse({});

describe('parseChain', () => {
  it('takes apart what the template puts together', () => {
    for (const [rationale, answer] of [['2 + 2 = 4.', '4'], ['First this.\nThen that, and no Answer: yet.', 'Ruby'], ['Costs $4 (a+b).', 'a b']]) {
      expect(parseChain(fillTemplate(chainResponse, { rationale, answer })!, answerCue)).toEqual({ rationale, answer });
    }
    expect(parseChain('because 5 --> 5', ' -->')).toEqual({ rationale: 'because 5', answer: '5' });
  });

  it('leaves the answer out where there is none', () => {
    expect(parseChain(' 2 + 2 = 4. ', answerCue)).toEqual({ rationale: '2 + 2 = 4.', answer: undefined });
    expect(parseChain(' 2 + 2\nAnswer: ', answerCue)).toEqual({ rationale: '2 + 2', answer: undefined });
    expect(parseChain('Answer: 4\nmore', answerCue)).toEqual({ rationale: '', answer: '4' });
  });
});

describe('chooseReasons', () => {
  const chains = [
    { rationale: 'two and two', answer: '4' },
    { rationale: 'two and two', answer: '4.0' },
    { rationale: 'counted', answer: '4' },
    { rationale: 'guessed', answer: '5' },
    { rationale: '', answer: '4' },
    { rationale: 'stopped', answer: undefined },
  ];

  it('keeps exactly the reasons with the right answer, each once', () => {
    const leftOut = nothingLeftOut();
    const { label, reasons } = chooseReasons(chains, '4', { labels: 'file', answerFilter: true, compare: 'auto' }, leftOut);
    expect(label).toBe('4');
    expect(reasons.map(({ rationale }) => rationale)).toEqual(['two and two', 'counted']);
    expect(leftOut).toEqual({ empty: 1, open: 1, wrong: 1, repeated: 1 });
  });

  it('keeps the others, too, where told to, and takes the answer of most', () => {
    const { label, reasons } = chooseReasons(chains, undefined, { labels: 'teacher', answerFilter: false, compare: 'number' }, nothingLeftOut());
    expect(label).toBe('4');
    expect(reasons).toHaveLength(3);
  });
});
