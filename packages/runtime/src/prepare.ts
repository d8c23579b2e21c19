import { hasOption, nearest, pareError, type Backend, type BackendPlugin, type DeviceInfo, type FileSystem, type Format, type Model, type ModelRemoval, type ModuleInfo, type ModulePlan, type PareError, type Preset, type Recipe, type TargetModule, type Technique, type TextSource } from '@pare/core';
import { TimeLimitError, withTimeLimit } from '@pare/platform';
import { pluginFailure } from './cancellation.js';
import { openItems, openText } from './evaluations.js';
import { outputEstimate, stageEstimate, writingBytes, type StageEstimate } from './estimates.js';
import type { CompressionPlan, LoadedPlugin, PlannedStage, PlanRequest } from './host-types.js';
import type { ModelLibrary } from './model-library.js';
import { applySetting, checkOptions, parseOptions, parseSetting, type Setting } from './options.js';
import { resolveRecipe, stageLabel, techniqueOf } from './recipes.js';
import { compileOverrides, matchedModules, selectTargets } from './targets.js';

type Options = Readonly<Record<string, unknown>>;

/** A stage with its targets and their options settled. */
export interface PreparedStage {
  readonly index: number;
  /** `stage 1 (gptq)`. */
  readonly label: string;
  readonly technique: Technique;
  readonly targets: readonly TargetModule<Options>[];
  /** By module name. */
  readonly plans: ReadonlyMap<string, ModulePlan>;
  /** The model as the stages before leave it, as far as shapes tell. */
  readonly model: Model;
  /** Of a stage of scope `model`. */
  readonly removal: ModelRemoval | undefined;
}

export interface PreparedFormat {
  readonly plugin: Format;
  readonly options: Options;
  /** What the format says of the plan. */
  readonly notes: readonly string[];
}

/** The calibration set of a run. */
export interface PreparedCalibration {
  readonly source: TextSource;
  readonly samples: number;
  readonly sequenceLength: number;
}

/** A request with everything looked up and checked that can be checked without reading weights. */
export interface Preparation {
  readonly recipe: Recipe;
  readonly stages: readonly PreparedStage[];
  readonly formats: readonly PreparedFormat[];
  readonly calibration: PreparedCalibration | undefined;
  readonly prompts: TextSource | undefined;
  readonly plan: CompressionPlan;
  /** The result's shapes: the source without what stages take out. Its weights are no result. */
  readonly planned: Model;
  /** Of the modules of `planned` that stages change. */
  readonly finalPlans: ReadonlyMap<string, ModulePlan>;
  /** Bytes of hidden states above which they wait on disk. */
  readonly spillBytes: number;
}

/** The backend of a request, open or not. */
export interface ChosenBackend {
  readonly id: string;
  readonly device: DeviceInfo | undefined;
  readonly operators: Pick<Backend, 'fallbacks'>;
}

/** What preparing needs of the host. */
export interface PreparationContext {
  readonly files: FileSystem;
  readonly cwd: string;
  readonly library: ModelLibrary;
  readonly techniques: ReadonlyMap<string, Technique>;
  readonly presets: ReadonlyMap<string, Preset>;
  readonly plugins: readonly LoadedPlugin[];
  readonly formats: ReadonlyMap<string, Format>;
  readonly backend: ChosenBackend;
  readonly signal: AbortSignal;
}

/** Calibration windows when a request does not say. */
export const defaultCalibration = { samples: 128, sequenceLength: 512 } as const;

/**
 * Checks a request against a model and computes what it will do.
 * @throws everything that can be refused before weights are read
 */
export async function prepare(request: PlanRequest, model: Model, context: PreparationContext): Promise<Preparation> {
  const formatIds = (request.formats ?? ['hf']).map((format) => (typeof format === 'string' ? format : format.id));
  // What is not a technique's may be a format's: `--set hf.oddBits=true`, and `--set gptq.version=2` beside a technique of that id.
  const [forFormats, forRecipe] = partition(request.set ?? [], (text) => {
    const { owner, path } = parseSetting(text);
    return formatIds.includes(owner) && (!context.techniques.has(owner) || (hasOption(context.formats.get(owner)?.options, path[0]!) && !hasOption(context.techniques.get(owner)?.options, path[0]!)));
  });
  const recipe = await resolveRecipe(request.recipe, forRecipe, context);
  const chosen = await prepareFormats(request, forFormats.map(parseSetting), context);
  const stages: PreparedStage[] = [];
  const finalPlans = new Map<string, ModulePlan>();
  const makers = new Map<string, string>();
  const tied = new Map<string, TiedMatrix>();
  let planned = model;
  for (const [index, stage] of recipe.stages.entries()) {
    const prepared = await prepareStage(stage, index, techniqueOf(stage, context.techniques), { model: planned, before: finalPlans, makers, tied, signal: context.signal });
    stages.push(prepared);
    if (prepared.removal !== undefined) {
      planned = context.library.sliceModel(plannedModel(planned, finalPlans, context.library), prepared.removal);
      finalPlans.clear();
      continue;
    }
    for (const [module, plan] of prepared.plans) {
      finalPlans.set(module, plan);
      makers.set(module, prepared.label);
    }
  }
  checkFormats(chosen, planned, finalPlans);
  const formats = chosen.map((format) => ({ ...format, notes: format.plugin.notes?.(planned, finalPlans, format.options) ?? [] }));
  const calibration = await prepareCalibration(request, stages, model, context);
  const prompts = request.prompts === undefined ? undefined : await openItems(request.prompts, context);
  const { plan, spillBytes } = assemblePlan({ recipe, stages, formats, calibration, prompts, finalPlans, model, planned, context, limit: request.memory });
  checkMemory(plan, request.memory);
  return { recipe, stages, formats, calibration, prompts, plan, planned, finalPlans, spillBytes };
}

/** A model with the forms and sizes that plans promise. Nobody reads its weights. */
export function plannedModel(model: Model, plans: ReadonlyMap<string, ModulePlan>, library: ModelLibrary): Model {
  const unread = (): Promise<never> => Promise.reject(new Error('a planned weight was read'));
  return plans.size === 0 ? model : library.overlayModel(model, new Map([...plans.keys()].map((module) => [module, unread])), plans);
}

async function prepareFormats(request: PlanRequest, settings: readonly Setting[], context: PreparationContext): Promise<Omit<PreparedFormat, 'notes'>[]> {
  const selections = (request.formats ?? ['hf']).map((format) => (typeof format === 'string' ? { id: format } : format));
  const known = [...context.formats.keys()];
  const formats: Omit<PreparedFormat, 'notes'>[] = [];
  for (const selection of selections) {
    const plugin = context.formats.get(selection.id);
    if (plugin === undefined) throw pareError('PARE_PLUGIN_UNKNOWN', { kind: 'format', id: selection.id, known, nearest: nearest(selection.id, known) });
    if (formats.some((format) => format.plugin === plugin)) continue;
    let options: Options = selection.options ?? {};
    for (const setting of settings) if (setting.owner === plugin.id) options = applySetting(setting, plugin.options, options);
    formats.push({ plugin, options: await parseOptions(`format "${plugin.id}"`, plugin.options, options) });
  }
  return formats;
}

function partition<T>(items: readonly T[], belongs: (item: T) => boolean): [T[], T[]] {
  return [items.filter(belongs), items.filter((item) => !belongs(item))];
}

/** A recipe as far as it is prepared. */
interface StagesBefore {
  readonly model: Model;
  /** What the stages before make of each module that they change, and the last of them that does. */
  readonly before: ReadonlyMap<string, ModulePlan>;
  readonly makers: ReadonlyMap<string, string>;
  /** Matrices with two names that stages worked on, by owner; every stage adds its own. */
  readonly tied: Map<string, TiedMatrix>;
  readonly signal: AbortSignal;
}

async function prepareStage(stage: Recipe['stages'][number], index: number, technique: Technique, { model, before, makers, tied, signal }: StagesBefore): Promise<PreparedStage> {
  const label = stageLabel(index, technique.id);
  const selection = { include: technique.targets, ...stage.targets };
  const modules = selectTargets(label, model.modules, selection);
  checkTied(label, matchedModules(label, model.modules, selection), tied);
  if (technique.scope === 'block') refuseOutsideBlocks(label, modules);
  const overrides = compileOverrides(label, modules, stage.overrides);

  // Modules with the same overrides share one options object.
  const optionSets = new Map<string, Options>();
  const targets: TargetModule<Options>[] = [];
  for (const info of modules) {
    const applying = overrides.flatMap((override, position) => (override.pattern.matches(info) ? [position] : []));
    const key = applying.join(',');
    let options = optionSets.get(key);
    if (options === undefined) {
      const merged = Object.assign({}, stage.options, ...applying.map((position) => overrides[position]!.options)) as Options;
      options = await parseOptions(`${label}${key === '' ? '' : `, overrides ${key}`}`, technique.options, merged);
      optionSets.set(key, options);
    }
    targets.push({ info, options, before: before.get(info.name) });
  }
  checkOrder(label, technique, targets, makers);

  const place = { plugin: `technique "${technique.id}"`, stage: label };
  let plans: readonly ModulePlan[];
  let removal: ModelRemoval | undefined;
  const problems: { module: string; reason: string }[] = [];
  try {
    for (const target of targets) {
      const reason = technique.check?.(target);
      if (reason !== undefined) problems.push({ module: target.info.name, reason });
    }
    if (problems.length > 0) throw pareError('PARE_TARGET_REFUSED', { stage: label, problems });
    plans = technique.plan(targets, model);
    removal = technique.restructure?.(targets, model);
  } catch (error) {
    throw pluginFailure(error, signal, 'planning', place);
  }
  const byModule = new Map(plans.map((plan) => [plan.module, plan]));
  for (const { info } of targets) {
    if (!byModule.has(info.name)) throw pareError('PARE_RESULT_INVALID', { plugin: place.plugin, module: info.name, problem: 'plan() says nothing about it' });
  }
  return { index, label, technique, targets, plans: byModule, model, removal };
}

function refuseOutsideBlocks(stage: string, modules: readonly ModuleInfo[]): void {
  const outside = modules.filter((module) => module.block === undefined);
  if (outside.length === 0) return;
  const reason = 'it stands outside the blocks, where this technique has no calibration statistics; exclude it, or give it to a data-free technique such as rtn';
  throw pareError('PARE_TARGET_REFUSED', { stage, problems: outside.map((module) => ({ module: module.name, reason })) });
}

/** A tied matrix in a recipe: the stage that worked on it last, and the names that it called it by. */
interface TiedMatrix {
  readonly stage: string;
  readonly names: readonly string[];
}

/**
 * Two stages that call one matrix by different names, embedding and tied head, would compress it twice where a recipe means two.
 * @throws PARE_TARGET_TIED
 */
function checkTied(stage: string, matched: readonly ModuleInfo[], tied: Map<string, TiedMatrix>): void {
  const byOwner = new Map<string, string[]>();
  for (const { name, sharedWith = name } of matched) byOwner.set(sharedWith, [...(byOwner.get(sharedWith) ?? []), name]);
  for (const [owner, names] of byOwner) {
    const earlier = tied.get(owner);
    if (earlier !== undefined && !earlier.names.some((name) => names.includes(name))) {
      throw pareError('PARE_TARGET_TIED', { stage, module: names[0]!, earlierStage: earlier.stage, earlierModule: earlier.names[0]! });
    }
    tied.set(owner, { stage, names });
  }
}

/** Follows each module's form from stage to stage. @throws PARE_RECIPE_ORDER when a technique would get one that it does not accept */
function checkOrder(stage: string, { accepts }: Technique, targets: readonly TargetModule<Options>[], makers: ReadonlyMap<string, string>): void {
  for (const { info, before } of targets) {
    const found = before?.produces ?? info.form;
    if (accepts.includes(found)) continue;
    throw pareError('PARE_RECIPE_ORDER', { stage, module: info.name, found, madeBy: makers.get(info.name) ?? 'the model', accepts });
  }
}

/** Asks every format whether it can write the result, and reports all refusals together. */
function checkFormats(formats: readonly Omit<PreparedFormat, 'notes'>[], model: Model, plans: ReadonlyMap<string, ModulePlan>): void {
  const refusals = formats.flatMap(({ plugin, options }) => {
    const forms = model.modules.flatMap(({ name, form, sharedWith }) => {
      // A tied head is its owner's business.
      if (sharedWith !== undefined && !plans.has(name)) return [];
      const final = plans.get(name)?.produces ?? form;
      return plugin.accepts.includes(final) ? [] : [{ module: name, reason: `it writes no ${final} weights`, help: `Format "${plugin.id}" writes ${plugin.accepts.join(', ')} weights; choose another with --format.` }];
    });
    return [...forms, ...plugin.refuse(model, plans, options)].map((refusal) => ({ format: plugin.id, ...refusal }));
  });
  if (refusals.length > 0) throw pareError('PARE_FORMAT_REFUSED', { refusals });
}

/** What stages cannot do without and a request does not bring, as the error that a run would end with. */
export function missingData(stages: readonly PreparedStage[], { calibration, prompts }: Pick<Preparation, 'calibration' | 'prompts'>): PareError[] {
  return ([['text', calibration], ['prompts', prompts], ['either', prompts ?? calibration]] as const).flatMap(([data, given]) => {
    const techniques = given !== undefined ? [] : [...new Set(stages.filter((stage) => neededData(stage).has(data)).map(({ technique }) => technique.id))];
    return techniques.length === 0 ? [] : data === 'text' ? pareError('PARE_CALIBRATION_MISSING', { techniques }) : pareError('PARE_PROMPTS_MISSING', { techniques, text: data === 'either' });
  });
}

/** What a stage cannot do without. */
function neededData({ technique, targets }: PreparedStage): ReadonlySet<'text' | 'prompts' | 'either'> {
  return new Set(technique.scope === 'training' ? targets.map(({ options }) => technique.learnsFrom?.(options) ?? 'text') : readsText({ technique, targets }) ? ['text'] : []);
}

/** True for a stage that works with calibration text. */
export function readsText({ technique, targets }: Pick<PreparedStage, 'technique' | 'targets'>): boolean {
  return technique.scope === 'block' || technique.scope === 'training' || targets.some(({ options }) => technique.calibrated?.(options) === true);
}

async function prepareCalibration(
  request: PlanRequest,
  stages: readonly PreparedStage[],
  model: Model,
  context: PreparationContext,
): Promise<PreparedCalibration | undefined> {
  if (!stages.some(readsText) || request.calibration === undefined) return undefined;
  const { data, samples = defaultCalibration.samples, sequenceLength = defaultCalibration.sequenceLength } = request.calibration;
  for (const [name, value] of Object.entries({ samples, sequenceLength })) {
    if (!Number.isInteger(value) || value < 1) {
      throw pareError('PARE_OPTIONS_INVALID', { owner: 'calibration', problems: [`${name} is ${String(value)}`], allowed: 'Give a whole number from 1.' });
    }
  }
  const { maxPositions } = model.description;
  if (sequenceLength > maxPositions) throw pareError('PARE_WINDOW_TOO_LONG', { length: sequenceLength, positions: maxPositions });
  return { source: await openText(data, context), samples, sequenceLength };
}

interface PlanParts {
  readonly recipe: Recipe;
  readonly stages: readonly PreparedStage[];
  readonly formats: readonly PreparedFormat[];
  readonly calibration: PreparedCalibration | undefined;
  readonly prompts: TextSource | undefined;
  readonly finalPlans: ReadonlyMap<string, ModulePlan>;
  readonly model: Model;
  readonly planned: Model;
  readonly context: PreparationContext;
  /** Memory limit in bytes. */
  readonly limit: number | undefined;
}

function assemblePlan({ recipe, stages, formats, calibration, prompts, finalPlans, model, planned: result, context, limit }: PlanParts): { plan: CompressionPlan; spillBytes: number } {
  const windows = calibration ?? defaultCalibration;
  const estimates = stages.map((stage) => stageEstimate(stage, windows, context.backend));
  const writing = writingBytes(model);
  const smallest = Math.max(writing, ...estimates.map(({ stage }) => stage.peakBytes));
  const hiddenBytes = Math.max(0, ...estimates.map((estimate) => estimate.hiddenBytes));
  // Hidden states stay in memory as far as the limit leaves room; the rest of the run cannot be squeezed.
  const spillBytes = Math.max(context.backend.device?.separate?.statesBytes ?? 0, Math.min(defaultSpillBytes, (limit ?? Infinity) - smallest));
  const planned = stages.map((stage, index) => plannedStage(stage, estimates[index]!, estimates[index]!.hiddenBytes > spillBytes ? 0 : estimates[index]!.hiddenBytes));
  const output = outputEstimate(result, finalPlans, stages, formats.length);
  const plan: CompressionPlan = {
    model: { name: model.name, directory: model.directory, parameters: model.parameters, bytes: model.bytes, blocks: model.description.blocks.length },
    recipe,
    backend: { id: context.backend.id, device: context.backend.device, fallbacks: context.library.describeFallbacks(context.backend.operators, model) },
    formats: formats.map(({ plugin, options, notes }) => ({ id: plugin.id, options, notes })),
    calibration: calibration === undefined ? undefined : { data: calibration.source.name, samples: calibration.samples, sequenceLength: calibration.sequenceLength },
    missing: missingData(stages, { calibration, prompts }).map(({ code, message, help }) => ({ code, message, help })),
    stages: planned,
    outputBytes: output.outputBytes,
    bitsPerWeight: (output.outputBytes * 8) / result.parameters,
    remaining: result === model ? undefined : remainingOf(model, result, context.library),
    diskBytes: output.diskBytes + (hiddenBytes > spillBytes ? hiddenBytes : 0),
    hiddenStates: { bytes: hiddenBytes, spilled: hiddenBytes > spillBytes },
    peakMemoryBytes: Math.max(writing, ...planned.map((stage) => stage.peakBytes)),
    smallestMemoryBytes: smallest,
    seconds: planned.reduce((sum, stage) => sum + stage.seconds, 0),
    rate: estimates[0]!.rate,
  };
  return { plan, spillBytes };
}

function remainingOf(before: Model, after: Model, library: ModelLibrary): CompressionPlan['remaining'] {
  const macs = ({ description }: Model): number => library.totalMacs(library.countModel(description, { sequenceLength: 64 }));
  return { parameters: after.parameters, blocks: after.description.blocks.length, macs: { sequenceLength: 64, before: macs(before), after: macs(after) } };
}

/** Hidden states up to this size stay in memory when no limit is given. */
const defaultSpillBytes = 2 ** 30;

function plannedStage(stage: PreparedStage, estimate: StageEstimate, hiddenBytes: number): PlannedStage {
  const { technique } = stage;
  return {
    index: stage.index,
    technique: technique.id,
    family: technique.family,
    scope: technique.scope,
    modules: stage.targets.map(({ info, options }) => ({ ...stage.plans.get(info.name)!, info, options })),
    ...estimate.stage,
    peakBytes: estimate.stage.peakBytes + hiddenBytes,
  };
}

function checkMemory(plan: CompressionPlan, limit: number | undefined): void {
  if (limit === undefined || plan.smallestMemoryBytes <= limit) return;
  const largest = [...plan.stages].sort((a, b) => b.peakBytes - a.peakBytes)[0];
  throw pareError('PARE_MEMORY_LIMIT', { limit, needed: plan.smallestMemoryBytes, stage: largest === undefined ? 'the model' : stageLabel(largest.index, largest.technique) });
}

/** The backend of a request: by id (whatever its score), or the best for `auto`. @throws PARE_PLUGIN_UNKNOWN, PARE_BACKEND_UNAVAILABLE, PARE_OPTIONS_INVALID */
export async function chooseBackend(
  selection: string | { readonly id: string; readonly options?: Options | undefined } | undefined,
  backends: readonly (LoadedPlugin & { readonly plugin: BackendPlugin })[],
): Promise<{
  readonly plugin: BackendPlugin;
  readonly options: Options;
  readonly device: CompressionPlan['backend']['device'];
  /** Why its score is what it is. */
  readonly reason: string;
}> {
  const { id, options = {} } = selection === undefined ? { id: 'auto' } : typeof selection === 'string' ? { id: selection } : selection;
  const known = backends.map((backend) => backend.id);
  if (id !== 'auto') {
    const backend = backends.find((candidate) => candidate.id === id);
    if (backend === undefined) throw pareError('PARE_PLUGIN_UNKNOWN', { kind: 'backend', id, known: ['auto', ...known], nearest: nearest(id, ['auto', ...known]) });
    const parsed = await parseOptions(`backend "${id}"`, backend.plugin.options, options);
    const { reason, device } = await scoreBackend(backend.plugin);
    return { plugin: backend.plugin, options: parsed, device, reason };
  }
  const scored = await Promise.all(backends.map(async ({ plugin }) => ({ plugin, ...(await scoreBackend(plugin)) })));
  const best = scored.filter(({ score }) => score > 0).sort((a, b) => b.score - a.score)[0];
  if (best === undefined) {
    const reason = scored.length === 0 ? 'no backend plugin is loaded' : scored.map((backend) => `${backend.plugin.id}: ${backend.reason}`).join('; ');
    throw pareError('PARE_BACKEND_UNAVAILABLE', { backend: 'auto', reason });
  }
  // Options given beside `auto` reach whichever backend is taken, as far as it knows them.
  const parsed = await checkOptions(best.plugin.options, options);
  return { plugin: best.plugin, options: parsed.options ?? (await parseOptions(`backend "${best.plugin.id}"`, best.plugin.options, {})), device: best.device, reason: best.reason };
}

/** A backend's score; a probe that throws or hangs scores 0 with that as reason. */
export async function scoreBackend(plugin: BackendPlugin): Promise<Awaited<ReturnType<BackendPlugin['score']>>> {
  try {
    return await withTimeLimit(plugin.score(), probeSeconds);
  } catch (error) {
    if (error instanceof TimeLimitError) return { score: 0, reason: `its probe did not answer within ${String(probeSeconds)} s` };
    return { score: 0, reason: `its probe failed: ${error instanceof Error ? error.message : String(error)}` };
  }
}

/** A driver that hangs must not hang the host. */
const probeSeconds = 20;
