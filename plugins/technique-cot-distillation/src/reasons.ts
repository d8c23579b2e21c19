import { majority, sameAnswer, type Comparison } from './answers.js';
import type { Chain } from './chain.js';

/** A reason that is learnt. */
export interface Reason {
  readonly rationale: string;
  readonly answer: string;
}

/** What is learnt of a question. */
export interface SolvedQuestion {
  /** The answer; undefined where the teacher is to give it and gives none. */
  readonly label: string | undefined;
  readonly reasons: readonly Reason[];
}

/** How many reasons were left out, and why. */
export interface LeftOut {
  empty: number;
  /** Without an answer. */
  open: number;
  wrong: number;
  repeated: number;
}

export interface CurationOptions {
  readonly labels: 'file' | 'teacher';
  readonly answerFilter: boolean;
  readonly compare: Comparison;
}

export const nothingLeftOut = (): LeftOut => ({ empty: 0, open: 0, wrong: 0, repeated: 0 });

/**
 * Chooses among the reasons that a teacher gave to a question. With `answerFilter` exactly those remain whose answer is the gold one (Ho et al., arXiv 2212.10071, §3; the reasoning itself is not
 * checked); equal ones count once.
 * @param gold the file's answer
 * @param leftOut is counted up
 */
export function chooseReasons(chains: readonly Chain[], gold: string | undefined, { labels, answerFilter, compare }: CurationOptions, leftOut: LeftOut): SolvedQuestion {
  const label = labels === 'file' ? gold : majority(chains.flatMap(({ answer }) => answer ?? []), compare);
  const reasons: Reason[] = [];
  for (const { rationale, answer } of chains) {
    if (rationale === '') leftOut.empty++;
    else if (answer === undefined) leftOut.open++;
    else if (answerFilter && gold !== undefined && !sameAnswer(answer, gold, compare)) leftOut.wrong++;
    else if (reasons.some((other) => other.rationale === rationale && sameAnswer(other.answer, answer, compare))) leftOut.repeated++;
    else reasons.push({ rationale, answer });
  }
  return { label, reasons };
}
