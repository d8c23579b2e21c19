import type { TextSource } from '@pare/core';
import type { PromptItem } from '@pare/model';

/** A prompt and the texts that its continuation is held against. */
export interface GenerationItem {
  readonly line: number;
  readonly prompt: string;
  /** Whole reference texts, at least one. */
  readonly references: readonly string[];
  /** The answers in them: what stands behind `####`, as GSM8K marks it, or the whole text. */
  readonly answers: readonly string[];
}

/**
 * Reads items from JSON lines. References are `references` or `targets` (lists), `reference`, `target` or `answer` (a text or a number), or the choice that `label` names.
 * @param count items to read; 0 for all
 * @throws PARE_ITEM_INVALID with file and line
 */
export async function readItems(source: TextSource, promptTemplate: string, count: number): Promise<GenerationItem[]> {
  const { readPromptItems } = await import('@pare/model');
  return (await readPromptItems(source, promptTemplate, count)).map((item) => {
    const references = referencesOf(item);
    return { line: item.line, prompt: item.prompt, references, answers: references.map((text) => text.split('####').at(-1)!.trim()) };
  });
}

function referencesOf({ fields, refuse }: PromptItem): string[] {
  const name = ['references', 'targets', 'reference', 'target', 'answer'].find((key) => fields[key] !== undefined && fields[key] !== null);
  if (name === undefined) {
    const { choices, label } = fields;
    const choice: unknown = Array.isArray(choices) && typeof label === 'number' ? choices[label] : undefined;
    return typeof choice === 'string' ? [choice] : refuse('it has no answer ("answer", "target", "reference" or "references")');
  }
  const value = fields[name];
  const texts = (Array.isArray(value) ? (value as unknown[]) : [value]).map((text) => (typeof text === 'number' ? String(text) : text));
  if (texts.length === 0) return refuse(`its ${name} are empty`);
  return texts.map((text) => (typeof text === 'string' && text.trim() !== '' ? text : refuse(`its ${name} has ${JSON.stringify(text)}, no text`)));
}
