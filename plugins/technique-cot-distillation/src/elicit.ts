import { askTeacher, openBlackBoxTeacher, type BlackBoxContext, type BlackBoxTeacher } from '@pare/black-box-teacher';
import { pluginError } from '@pare/core';
import { fillTemplate } from '@pare/model';
import { answerLine, parseChain, type Chain } from './chain.js';
import type { CotDistillationOptions } from './options.js';
import type { Question } from './questions.js';
import { chooseReasons, nothingLeftOut, type LeftOut, type SolvedQuestion } from './reasons.js';

type Context = BlackBoxContext<CotDistillationOptions>;

/** What a teacher gave, and what of it was left out. */
export interface Elicited {
  readonly solved: readonly SolvedQuestion[];
  readonly leftOut: LeftOut;
  /** Reasons that were given. */
  readonly asked: number;
}

/** A round of asking: prompts, and where their texts belong. */
interface Round {
  readonly question: number;
  readonly prompt: string;
}

/**
 * Asks the teacher for reasons by chain-of-thought prompting (Wei et al., arXiv 2201.11903; without demonstrations Kojima et al., arXiv 2205.11916, §3), and for the answer where it did not come to
 * one. Questions for which no reason is right are asked again with the answer in the prompt, where there is a `hintPrompt` (CROP of Li et al., arXiv 2210.06726, §2).
 * @throws PARE_COT_DISTILLATION_EMPTY_RATIONALE when empty reasons are refused
 */
export async function elicitReasons(context: Context, questions: readonly Question[], options: CotDistillationOptions): Promise<Elicited> {
  await using teacher = await openBlackBoxTeacher(context, { ...options, emptyAnswers: options.emptyRationales === 'drop' ? 'keep' : 'refuse' });
  const leftOut = nothingLeftOut();
  const chains = await ask(context, teacher, questions.map(({ teacherPrompt }, question) => ({ question, prompt: teacherPrompt })), questions, options);
  const solved = chains.map((each, index) => chooseReasons(each, questions[index]!.answer, options, leftOut));
  let asked = chains.reduce((sum, each) => sum + each.length, 0);
  if (options.hintPrompt !== undefined) {
    const open = [...questions.keys()].filter((index) => solved[index]!.reasons.length === 0 && questions[index]!.answer !== undefined);
    const hints = open.map((question): Round => {
      const { texts, answer } = questions[question]!;
      return { question, prompt: options.demonstrations + fillTemplate(options.hintPrompt!, { ...texts, answer })! };
    });
    const given = await ask(context, teacher, hints, questions, options);
    for (const [index, question] of open.entries()) {
      // The answer was in the prompt: a reason need not repeat it.
      const known = given[index]!.map(({ rationale, answer }) => ({ rationale, answer: answer ?? questions[question]!.answer }));
      solved[question] = { ...solved[question]!, reasons: chooseReasons(known, questions[question]!.answer, options, leftOut).reasons };
    }
    asked += given.reduce((sum, each) => sum + each.length, 0);
  }
  return { solved, leftOut, asked };
}

/** The chains of each round's prompt. */
async function ask(context: Context, teacher: BlackBoxTeacher, rounds: readonly Round[], questions: readonly Question[], options: CotDistillationOptions): Promise<Chain[][]> {
  const { answerCue, emptyRationales } = options;
  if (rounds.length === 0) return [];
  const texts = await askTeacher(context, teacher, rounds.map(({ prompt }) => prompt), 'reasons', options);
  const chains = texts.map((answers) => answers.map(({ text }) => parseChain(text, answerCue)));
  if (emptyRationales === 'refuse') {
    const empty = chains.findIndex((each) => each.some(({ rationale }) => rationale === ''));
    if (empty >= 0) {
      const { line } = questions[rounds[empty]!.question]!;
      throw pluginError({ code: 'PARE_COT_DISTILLATION_EMPTY_RATIONALE', message: `${teacher.name} gives an empty reason for line ${String(line)}`, help: 'Look at teacherPrompt, answerCue and stop, or leave such reasons out with emptyRationales: drop.' });
    }
  }
  // Reasons without an answer are asked for it (Kojima et al., §3: the second prompt).
  const open = chains.flatMap((each, round) => each.flatMap(({ rationale, answer }, sample) => (answer === undefined && rationale !== '' ? [{ round, sample, rationale }] : [])));
  if (open.length === 0) return chains;
  const prompts = open.map(({ round, rationale }) => `${rounds[round]!.prompt} ${rationale}${answerCue}`);
  const answers = await askTeacher(context, teacher, prompts, 'answers', { ...options, answers: 1, beams: 1, temperature: 0, maxNewTokens: Math.min(options.maxNewTokens, answerTokens) });
  for (const [index, { round, sample, rationale }] of open.entries()) chains[round]![sample] = { rationale, answer: answerLine(answers[index]![0]!.text) };
  return chains;
}

/** Tokens of an answer to the second prompt. */
const answerTokens = 32;
