import { cacheFolderRef, fileSystemRef, type CacheFolder, type FileSystem, type ServiceRef, type TechniqueContext } from '@pare/core';
import { openTeacher, teacherIdentity, teacherServices, type TeacherServices } from '@pare/distillation';
import { openTokenizer } from '@pare/model';
import { environmentVariable } from '@pare/platform';
import { ChatTeacher } from './chat/chat-teacher.js';
import { KeptTeacher } from './local/kept-teacher.js';
import { LocalTeacher } from './local/local-teacher.js';
import type { AnswerOptions, BlackBoxTeacherOptions } from './options.js';
import { keyMissing } from './teacher-errors.js';
import { costText, type AnswerSettings, type BlackBoxTeacher, type TeacherAnswer } from './teacher.js';

/** Services of a technique that asks teachers. */
export interface BlackBoxServices extends TeacherServices {
  readonly files: ServiceRef<FileSystem>;
  readonly cache: ServiceRef<CacheFolder>;
}

/** For the `deps` of such a technique. */
export const blackBoxServices: BlackBoxServices = { ...teacherServices, files: fileSystemRef, cache: cacheFolderRef };

/** The call of such a technique. */
export type BlackBoxContext<O = unknown> = TechniqueContext<O, BlackBoxServices>;

type Context = Pick<BlackBoxContext, 'backend' | 'original' | 'services' | 'signal' | 'log' | 'progress' | 'seed' | 'work'>;

/** Batches of a model at hand whose answers are kept together: the last texts of each share are written by a batch that is no longer full. */
const batchesKept = 4;

/** @param emptyAnswers whether an endpoint's empty texts are failures or answers */
export type TeacherChoice = BlackBoxTeacherOptions & Pick<AnswerOptions, 'teacherBatch'> & { readonly emptyAnswers: 'refuse' | 'keep' };

/**
 * The teacher that the options name.
 * @throws PARE_TEACHER_KEY_MISSING, PARE_TEACHER_UNREACHABLE for an address that is none, PARE_MODEL_NOT_FOUND, PARE_TOKENIZER_MISSING and what else is wrong with a folder
 */
export async function openBlackBoxTeacher(context: Context, options: TeacherChoice): Promise<BlackBoxTeacher> {
  if (options.endpoint !== undefined) return openEndpoint(context, options, options.endpoint);
  const opened = await openTeacher(context, options.teacher);
  try {
    const { model } = opened;
    const { backend, signal, work, log } = context;
    const { teacherBatch } = options;
    const local = new LocalTeacher({ model, backend, signal, tokenizer: await openTokenizer(model.directory, model.files), batchSize: teacherBatch });
    return new KeptTeacher({
      teacher: local,
      identity: await teacherIdentity(model),
      share: batchesKept * teacherBatch,
      release: () => opened[Symbol.asyncDispose](),
      files: work.files,
      folder: work.files.path.join(work.path, 'answers'),
      warn: (message) => {
        log.warn(message);
      },
    });
  } catch (error) {
    await opened[Symbol.asyncDispose]();
    throw error;
  }
}

function openEndpoint({ services, log }: Context, options: TeacherChoice, endpoint: string): ChatTeacher {
  const { endpointModel: model = '', keyVariable, promptPrice, answerPrice } = options;
  const key = keyVariable === undefined ? undefined : environmentVariable(keyVariable);
  const folder = options.answerFolder ?? (services.cache.path === undefined ? undefined : services.files.path.join(services.cache.path, 'answers'));
  const teacher = new ChatTeacher({
    ...options,
    endpoint,
    model,
    key,
    prices: promptPrice + answerPrice > 0 ? { prompt: promptPrice, answer: answerPrice } : undefined,
    cache: folder === undefined ? undefined : { files: services.files, folder },
    warn: (message) => {
      log.warn(message);
    },
  });
  if (keyVariable !== undefined && key === undefined) throw keyMissing(teacher.name, keyVariable);
  if (folder === undefined) log.warn(`answers of ${teacher.name} are kept nowhere: name a folder with answerFolder`);
  return teacher;
}

/**
 * Asks a teacher, after saying what it will take.
 * @param what the prompts are asked for, for messages: `answers`, `rationales`
 */
export async function askTeacher(
  { signal, log, progress, seed }: Pick<Context, 'signal' | 'log' | 'progress' | 'seed'>,
  teacher: BlackBoxTeacher,
  prompts: readonly string[],
  what: string,
  { temperature, topP, maxNewTokens, stop, answers: count, beams }: Omit<AnswerOptions, 'teacherBatch'>,
): Promise<TeacherAnswer[][]> {
  const settings: AnswerSettings = { count, temperature, topP, maxTokens: maxNewTokens, stop, seed, beams };
  log.info(`${teacher.name} is asked for ${what}: ${costText(await teacher.cost(prompts, settings))}`);
  return teacher.answer(prompts, settings, {
    signal,
    onProgress: (completed, total) => {
      progress.report({ completed, total, unit: what });
    },
  });
}
