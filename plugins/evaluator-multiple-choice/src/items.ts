import { pareError, type TextSource } from '@pare/core';

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

type Fields = Readonly<Record<string, unknown>>;

/**
 * Reads items from JSON lines; empty lines are skipped. Fields go by the names that tasks of lm-evaluation-harness use: the prompt is made from the template's fields, or
 * is `query` or `ctx`; choices are `choices` (a list, or `{ text, label }` as in ARC) or `endings`; the right one is `label`, `gold`, `answerKey` or `answer`.
 *
 * @param count items to read; 0 for all
 * @throws PARE_ITEM_INVALID with file and line
 */
export async function readItems(source: TextSource, promptTemplate: string, count: number): Promise<MultipleChoiceItem[]> {
  const items: MultipleChoiceItem[] = [];
  // JSON strings may hold every line end but a line feed.
  for (const [index, text] of (await source.text()).split('\n').entries()) {
    if (text.trim() === '') continue;
    if (count > 0 && items.length === count) break;
    const line = index + 1;
    const refuse = (problem: string): never => {
      throw pareError('PARE_ITEM_INVALID', { file: source.name, line, problem });
    };
    const fields = parseObject(text, refuse);
    const { choices, names } = choicesOf(fields, refuse);
    items.push({ line, prompt: promptOf(fields, promptTemplate, refuse), choices, label: labelOf(fields, choices, names, refuse) });
  }
  if (items.length === 0) throw pareError('PARE_ITEM_INVALID', { file: source.name, line: 1, problem: 'the file has no items' });
  return items;
}

type Refuse = (problem: string) => never;

function parseObject(text: string, refuse: Refuse): Fields {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    return refuse(`not JSON (${(cause as Error).message})`);
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return refuse('it is no JSON object');
  return value as Fields;
}

function promptOf(fields: Fields, template: string, refuse: Refuse): string {
  const missing = [...template.matchAll(/\{(\w+)\}/g)].map(([, name]) => name!).find((name) => typeof fields[name] !== 'string');
  if (missing === undefined) return template.replaceAll(/\{(\w+)\}/g, (_, name: string) => fields[name] as string);
  const whole = [fields['query'], fields['ctx']].find((value) => typeof value === 'string');
  return whole ?? refuse(`it has no "${missing}" text for the prompt, and no "query" or "ctx"`);
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
