import { pareError, type TextSource } from '@pare/core';
import { readPromptPairs } from '@pare/training';
import { type TrainingContext } from '../context.js';
import { type SamplingTechniqueOptions } from './options.js';

/** A prompt, and what the data has behind it. */
export interface PromptText {
  readonly prompt: Int32Array;
  readonly response: Int32Array | undefined;
}

/** Prompts of a stage. */
export interface PromptTexts {
  readonly texts: readonly PromptText[];
  /** Tokens that end a response, by the student's tokenizer. None where prompts are pieces of a text: it goes on. */
  readonly stopTokens: readonly number[];
}

type Context = Pick<TrainingContext, 'prompts' | 'windows' | 'model' | 'tokenizer'>;

/**
 * Prompts from the items that were given, or else the beginnings of the calibration windows, whose rest is then the response.
 * @param owner the technique, as errors name it
 * @param response whether items must have one
 * @throws PARE_ITEM_INVALID and PARE_PROMPT_TOO_LONG naming a line; PARE_OPTIONS_INVALID and PARE_WINDOW_TOO_LONG for windows that have no room for both
 */
export async function promptTexts(context: Context, options: SamplingTechniqueOptions, owner: string, response: 'required' | 'optional'): Promise<PromptTexts> {
  const { prompts, windows, model } = context;
  return prompts === undefined ? textPrompts(windows, options, owner, model.description.maxPositions) : itemPrompts(context, prompts, options, response);
}

async function itemPrompts({ model, tokenizer }: Context, prompts: TextSource, { promptTemplate, responseTemplate, maxNewTokens }: SamplingTechniqueOptions, response: 'required' | 'optional'): Promise<PromptTexts> {
  const used = await tokenizer();
  const texts = await readPromptPairs(prompts, used, { promptTemplate, responseTemplate, response, maxNewTokens, positions: model.description.maxPositions });
  return { texts, stopTokens: used.eosToken === undefined ? [] : [used.eosToken] };
}

function textPrompts(windows: readonly Int32Array[], { promptTokens, maxNewTokens }: SamplingTechniqueOptions, owner: string, positions: number): PromptTexts {
  const shortest = Math.min(...windows.map(({ length }) => length));
  if (promptTokens >= shortest) {
    const problem = `promptTokens is ${String(promptTokens)} and a window has ${String(shortest)} tokens`;
    throw pareError('PARE_OPTIONS_INVALID', { owner, problems: [problem], allowed: 'A prompt is a part of a window: take fewer tokens, or longer windows with --sequence-length.' });
  }
  if (promptTokens + maxNewTokens - 1 > positions) throw pareError('PARE_WINDOW_TOO_LONG', { length: promptTokens + maxNewTokens - 1, positions });
  const texts = windows.map((window) => ({ prompt: window.slice(0, promptTokens), response: window.slice(promptTokens, promptTokens + maxNewTokens) }));
  return { texts, stopTokens: [] };
}
