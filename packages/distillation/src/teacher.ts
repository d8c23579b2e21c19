import { pareError, type Model } from '@pare/core';
import { describeModelFiles, readTokenizerFiles } from '@pare/model';
import { createSha256 } from '@pare/platform';
import { type TrainingContext } from './context.js';

/** A teacher's model. One that was opened for the purpose is closed with it. */
export interface OpenedTeacher extends AsyncDisposable {
  readonly model: Model;
}

/**
 * The teacher of a stage.
 * @param reference a folder or a hub name; the model as it was before the first stage when undefined
 * @throws PARE_MODEL_NOT_FOUND and what else is wrong with it
 */
export async function openTeacher({ original, services, signal }: Pick<TrainingContext, 'original' | 'services' | 'signal'>, reference: string | undefined): Promise<OpenedTeacher> {
  if (reference === undefined) return { model: original, [Symbol.asyncDispose]: () => Promise.resolve() };
  const model = await services.models.open(reference, { signal });
  return { model, [Symbol.asyncDispose]: () => model[Symbol.asyncDispose]() };
}

/** Tells two states of a teacher apart, without reading all of it: for the identity of a training. */
export async function teacherIdentity(teacher: Model): Promise<string> {
  const hash = createSha256();
  hash.update(new TextEncoder().encode(JSON.stringify(await describeModelFiles(teacher))));
  return `teacher ${teacher.name} ${hash.hex().slice(0, 16)}`;
}

/** Techniques that learn from what a teacher writes, and so need not share its tokens. */
const byText = ['distill-sequence', 'cot-distillation'];

/**
 * That a student's predictions can be compared with a teacher's, token by token: as many of them, and the same pieces of text where both folders have a tokenizer.json.
 * @throws PARE_TOKENIZER_INVALID; PARE_VOCABULARY_MISMATCH naming the difference and the techniques that do without
 */
export async function requireSameTokens(teacher: Model, student: Model): Promise<void> {
  const [expected, found] = [teacher, student].map(({ description }) => description.vocabularySize) as [number, number];
  const names = { role: 'the teacher', original: teacher.name, model: student.name, alternatives: byText };
  if (expected !== found) throw pareError('PARE_VOCABULARY_MISMATCH', { ...names, expected, found });
  if (teacher.directory === student.directory) return;
  const [theirs, own] = await Promise.all([pieces(teacher), pieces(student)]);
  if (theirs === undefined || own === undefined) return;
  for (const [id, piece] of theirs) {
    const other = own.get(id);
    if (other !== undefined && other !== piece) throw pareError('PARE_VOCABULARY_MISMATCH', { ...names, expected, found, token: { id, original: piece, model: other } });
  }
}

/** Text of each token, of tokenizers that list them. @throws PARE_TOKENIZER_INVALID */
async function pieces({ directory, files }: Model): Promise<ReadonlyMap<number, string> | undefined> {
  if ((await files.status(files.path.join(directory, 'tokenizer.json'))) === undefined) return undefined;
  const { vocab } = (await readTokenizerFiles(directory, files)).tokenizer.model;
  // Unigram models list pieces with their scores, in the order of their numbers.
  if (Array.isArray(vocab)) return new Map((vocab as readonly (readonly [string, number])[]).map(([piece], id) => [id, piece]));
  return new Map(Object.entries((vocab ?? {}) as Readonly<Record<string, number>>).map(([piece, id]) => [id, piece]));
}
