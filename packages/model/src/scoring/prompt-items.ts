import { pareError, type TextSource } from '@pare/core';

/** A JSON object of a file of items, and the prompt made from it. */
export interface PromptItem {
  /** Counted from 1. */
  readonly line: number;
  readonly fields: Readonly<Record<string, unknown>>;
  readonly prompt: string;
  /** Throws PARE_ITEM_INVALID with the item's file and line. */
  refuse(problem: string): never;
}

/**
 * Reads items from JSON lines; empty lines are skipped. A prompt is the template with `{name}` replaced by the item's text of that name; an item without these texts uses its
 * `query` or `ctx`, which tasks of lm-evaluation-harness hold ready-made, or its `prompt`.
 *
 * @param count items to read; 0 for all
 * @throws PARE_ITEM_INVALID for lines that are no JSON objects or make no prompt, and for a file without items
 */
export async function readPromptItems(source: TextSource, template: string, count: number): Promise<PromptItem[]> {
  const items: PromptItem[] = [];
  // JSON strings may hold every line end but a line feed.
  for (const [index, text] of (await source.text()).split('\n').entries()) {
    if (text.trim() === '') continue;
    if (count > 0 && items.length === count) break;
    const line = index + 1;
    const refuse = (problem: string): never => {
      throw pareError('PARE_ITEM_INVALID', { file: source.name, line, problem });
    };
    const fields = parseObject(text, refuse);
    items.push({ line, fields, prompt: promptOf(fields, template, refuse), refuse });
  }
  if (items.length === 0) throw pareError('PARE_ITEM_INVALID', { file: source.name, line: 1, problem: 'the file has no items' });
  return items;
}

function parseObject(text: string, refuse: PromptItem['refuse']): PromptItem['fields'] {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    return refuse(`not JSON (${(cause as Error).message})`);
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return refuse('it is no JSON object');
  return value as PromptItem['fields'];
}

function promptOf(fields: PromptItem['fields'], template: string, refuse: PromptItem['refuse']): string {
  const filled = fillTemplate(template, fields) ?? [fields['query'], fields['ctx'], fields['prompt']].find((value) => typeof value === 'string');
  return filled ?? refuse(`it has no "${missingText(template, fields)!}" text for the prompt, and no "query", "ctx" or "prompt"`);
}

/** A template with each `{name}` replaced by the text of that name; undefined when one is missing. */
export function fillTemplate(template: string, texts: Readonly<Record<string, unknown>>): string | undefined {
  return missingText(template, texts) === undefined ? template.replaceAll(/\{(\w+)\}/g, (_, name: string) => texts[name] as string) : undefined;
}

/** The first name of a template that is no text. */
function missingText(template: string, texts: Readonly<Record<string, unknown>>): string | undefined {
  return [...template.matchAll(/\{(\w+)\}/g)].map(([, name]) => name!).find((name) => typeof texts[name] !== 'string');
}
