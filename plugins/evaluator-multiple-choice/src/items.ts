import type { TextSource } from '@pare/core';
import type { PromptItem } from '@pare/model';

/** A question and the texts to choose from. */
export interface MultipleChoiceItem {
  /** Counted from 1. */
  readonly line: number;
  readonly prompt: string;
  /** At least two, none of them empty. */
  readonly choices: readonly string[];
  /** Index of the right choice. */
  readonly label: number;
}

type Fields = PromptItem['fields'];
type Refuse = PromptItem['refuse'];

/**
 * Reads items from JSON lines. Fields go by the names that tasks of lm-evaluation-harness use: prompts as `readPromptItems` makes them; choices are `choices` (a list, or
 * `{ text, label }` as in ARC) or `endings`; the right one is `label`, `gold`, `answerKey` or `answer`.
 *
 * @param count items to read; 0 for all
 * @throws PARE_ITEM_INVALID with file and line
 */
export async function readItems(source: TextSource, promptTemplate: string, count: number): Promise<MultipleChoiceItem[]> {
  const { readPromptItems } = await import('@pare/model');
  return (await readPromptItems(source, promptTemplate, count)).map(({ line, fields, prompt, refuse }) => {
    const { choices, names } = choicesOf(fields, refuse);
    return { line, prompt, choices, label: labelOf(fields, choices, names, refuse) };
  });
}

function choicesOf(fields: Fields, refuse: Refuse): { readonly choices: readonly string[]; readonly names: readonly unknown[] } {
  const given = fields['choices'] ?? fields['endings'];
  if (given === undefined) return refuse('it has no "choices" or "endings"');
  const labelled = typeof given === 'object' && given !== null && 'text' in given ? (given as { text: unknown; label?: unknown }) : undefined;
  const texts = labelled?.text ?? given;
  if (!Array.isArray(texts)) return refuse('its choices are no list');
  if (texts.length < 2) return refuse(`it has ${String(texts.length)} choice${texts.length === 1 ? '' : 's'}; two are the least`);
  for (const [index, text] of texts.entries()) {
    if (typeof text !== 'string') refuse(`choice ${String(index)} is ${JSON.stringify(text)}, no text`);
    if (text === '') refuse(`choice ${String(index)} is empty`);
  }
  return { choices: texts as string[], names: Array.isArray(labelled?.label) ? labelled.label : [] };
}

/** The right choice: an index (a number, or digits), a choice's text, its name in `choices.label`, or a letter from A on. */
function labelOf(fields: Fields, choices: readonly string[], names: readonly unknown[], refuse: Refuse): number {
  const field = ['label', 'gold', 'answerKey', 'answer'].find((name) => fields[name] !== undefined && fields[name] !== null && fields[name] !== '');
  if (field === undefined) return refuse('it has no answer ("label", "gold" or "answer")');
  const value = fields[field];
  const range = `0 to ${String(choices.length - 1)}`;
  if (typeof value === 'number') return Number.isInteger(value) && value >= 0 && value < choices.length ? value : refuse(`its ${field} ${String(value)} is not an index of its choices, ${range}`);
  if (typeof value !== 'string') return refuse(`its ${field} is ${JSON.stringify(value)}, no index and no text`);
  // A label is an index before it is anything else; an answer "11" is a text.
  const index = /^\d+$/.test(value) ? Number(value) : -1;
  const letter = /^[A-Z]$/.test(value) ? value.charCodeAt(0) - 65 : -1;
  const byName = [names.indexOf(value), choices.indexOf(value)];
  const candidates = field === 'label' || field === 'gold' ? [index, ...byName, letter] : [...byName, index, letter];
  return candidates.find((candidate) => candidate >= 0 && candidate < choices.length) ?? refuse(`its ${field} "${value}" is none of its choices, nor an index ${range}`);
}
