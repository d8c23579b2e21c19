import { createRandom, type WorkFolder } from '@pare/core';
import { predictingPosition, type PromptText, type ResponseText } from '@pare/distillation';
import { sampleMixedTexts, type MixedSample, type MixedSampleRequest } from '@pare/model';
import { writeAtomically } from '@pare/platform';
import { textReturns, TrainingOrder, whiten, type PolicyPosition } from '@pare/training';
import { type MiniLlmOptions } from './options.js';

/** A drawn text and what each of its tokens is learnt with. */
export interface Rollout extends ResponseText {
  /** ln p̃ of each token. */
  readonly behaviour: Float64Array;
  readonly advantages: Float64Array;
  /** Of each token's divergence: its importance, or 1. */
  readonly divergenceWeights: Float64Array;
}

type RewardOptions = Pick<MiniLlmOptions, 'variant' | 'lengthNormalization' | 'discount' | 'rewardScaling' | 'rewardClip'>;

/** What tokens of drawn texts earn: r = ln(p(y) / q(y)) (MiniLLM, §2.2), scaled and clipped, and returns made of it. */
export function rolloutsOf(prompts: readonly Int32Array[], samples: readonly MixedSample[], { variant, lengthNormalization, discount, rewardScaling, rewardClip }: RewardOptions): Rollout[] {
  const released = variant === 'released';
  const returns = samples.map(({ teacher, student }) => {
    const rewards = teacher.map((value, token) => Math.max(-rewardClip, Math.min(rewardClip, (value - student[token]!) / rewardScaling)));
    return textReturns(rewards, { of: released ? 'inclusive' : 'following', lengthNormalization, discount });
  });
  const advantages = released ? whiten(returns) : returns;
  return samples.map(({ tokens, student, importance }, index) => ({
    prompt: prompts[index]!,
    response: tokens,
    behaviour: student.map((value, token) => value - Math.log(importance[token]!)),
    advantages: advantages[index]!,
    divergenceWeights: released ? importance.map(() => 1) : importance,
  }));
}

/** What `policyLoss` is given for a drawn text; a token counts 1 / `tokens`. */
export function rolloutPositions(rollout: Rollout, tokens: number): Map<number, PolicyPosition> {
  const { response, behaviour, advantages, divergenceWeights } = rollout;
  return new Map(
    Array.from(response, (target, token) => [
      predictingPosition(rollout, token),
      { target, behaviour: behaviour[token]!, advantage: advantages[token]! / tokens, divergenceWeight: divergenceWeights[token]! / tokens, labelWeight: 0, softWeight: 0 },
    ]),
  );
}

/** A sample as JSON, which holds every finite number exactly. */
type KeptSample = Readonly<Record<'tokens' | 'teacher' | 'student' | 'importance', readonly number[]>> & Pick<MixedSample, 'ended'>;

/** A draw as a file. */
interface KeptDraw {
  readonly identity: string;
  readonly samples: readonly KeptSample[];
}

function kept({ tokens, ended, teacher, student, importance }: MixedSample): KeptSample {
  return { tokens: [...tokens], ended, teacher: [...teacher], student: [...student], importance: [...importance] };
}

function restored({ tokens, ended, teacher, student, importance }: KeptSample): MixedSample {
  return { tokens: Int32Array.from(tokens), ended, teacher: Float64Array.from(teacher), student: Float64Array.from(student), importance: Float64Array.from(importance) };
}

export interface RolloutSourceOptions {
  readonly texts: readonly PromptText[];
  readonly stopTokens: readonly number[];
  readonly options: MiniLlmOptions;
  readonly seed: number;
  readonly signal?: AbortSignal | undefined;
  /** Where drawn texts are kept: a run that goes on from its midst cannot draw them again, the student that drew them is gone. */
  readonly work: WorkFolder;
  /** Who teaches: texts drawn with another teacher are drawn anew. */
  readonly identity: string;
  generators(): Promise<Pick<MixedSampleRequest, 'student' | 'teacher'>>;
}

/** The drawn texts of each step: new ones after each few steps, in which they are passed over `epochs` times in orders that the seed decides. */
export class RolloutSource {
  readonly #options: RolloutSourceOptions;
  readonly #prompts: TrainingOrder;
  readonly #stepsOfDraw: number;
  #drawn: { readonly draw: number; readonly rollouts: readonly Rollout[] } | undefined;

  constructor(options: RolloutSourceOptions) {
    this.#options = options;
    this.#prompts = new TrainingOrder({ count: options.texts.length, order: 'shuffled', seed: options.seed });
    const { rollouts, epochs, batchSize } = options.options;
    this.#stepsOfDraw = Math.ceil((rollouts * epochs) / Math.min(batchSize, rollouts));
  }

  async rollouts(step: number): Promise<Rollout[]> {
    const { options, seed } = this.#options;
    const draw = Math.floor(step / this.#stepsOfDraw);
    if (this.#drawn?.draw !== draw) this.#drawn = { draw, rollouts: await this.#draw(draw) };
    const { rollouts } = this.#drawn;
    const batch = Math.min(options.batchSize, rollouts.length);
    const order = new TrainingOrder({ count: rollouts.length, order: 'shuffled', seed: seed + draw });
    return order.slice((step % this.#stepsOfDraw) * batch, batch).map((index) => rollouts[index]!);
  }

  async #draw(draw: number): Promise<Rollout[]> {
    const { texts, stopTokens, options, seed, signal } = this.#options;
    const { rollouts, maxNewTokens, temperature, topK, topP, teacherShare, microBatch } = options;
    const prompts = this.#prompts.slice(draw * rollouts, rollouts).map((index) => texts[index]!.prompt);
    const samples = await this.#kept(draw, async () => {
      const generators = await this.#options.generators();
      const drawSeed = Math.floor(createRandom(seed * 1_000_003 + draw)() * 2 ** 32);
      return sampleMixedTexts({ ...generators, prompts, maxNewTokens, temperature, topK, topP, teacherShare, batchSize: microBatch, stopTokens, seed: drawSeed, signal });
    });
    return rolloutsOf(prompts, samples, options);
  }

  /** What an earlier run drew, or else what is drawn now, which is kept. */
  async #kept(draw: number, sample: () => Promise<readonly MixedSample[]>): Promise<readonly MixedSample[]> {
    const { identity, work: { files, path } } = this.#options;
    const file = files.path.join(path, `rollouts-${String(draw)}.json`);
    if ((await files.status(file)) !== undefined) {
      const found = JSON.parse(await files.readText(file)) as KeptDraw;
      if (found.identity === identity) return found.samples.map(restored);
    }
    const samples = await sample();
    await files.makeFolder(path);
    await writeAtomically(files, file, JSON.stringify({ identity, samples: samples.map(kept) } satisfies KeptDraw));
    return samples;
  }
}
