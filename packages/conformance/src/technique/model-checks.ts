import { isPareError, type ModuleInfo, type ModulePlan, type Technique } from '@pare/core';
import { isDeepStrictEqual } from 'node:util';
import { check, type Check } from '../kit/check.js';
import { describeThrown, type Finding } from '../kit/finding.js';
import { formFindings, planTargetFindings, promiseFindings } from './form-findings.js';
import { ignoresCancel } from './layer-checks.js';
import type { BenchRequest, BenchResult, ModelBench } from './model-bench.js';
import { observedTechnique } from './observed-technique.js';
import type { TechniqueConformanceOptions } from './technique-subject.js';

/** What a host says of a plugin that crashes or contradicts itself: not what a technique refuses with. */
const faults: readonly string[] = ['PARE_PLUGIN_FAILED', 'PARE_RESULT_INVALID'];

/** A run that came to its end, and what the technique planned in it. */
interface ModelRun {
  readonly result: BenchResult;
  readonly targets: readonly ModuleInfo[];
  readonly plan: readonly ModulePlan[];
}

/** What can only be seen on whole models: awkward architectures, targets, cancelled and resumed runs. */
export function modelChecks<O>(technique: Technique<O>, kit: TechniqueConformanceOptions<O>, openBench: () => Promise<ModelBench>, models: readonly string[]): Check[] {
  const name = `technique ${technique.id}`;
  const options = kit.modelOptions ?? {};
  let outputs = 0;
  const request = (model: string, more: Partial<BenchRequest<O>> = {}): BenchRequest<O> => ({ technique, model, options, output: `run-${String(outputs++)}`, ...more });

  /** Runs on a model. A refusal before any work is an answer, too. */
  const attempt = async (model: string, modules?: readonly string[]): Promise<ModelRun | { readonly refused: unknown }> => {
    const bench = await openBench();
    let applied = 0;
    let planned: Pick<ModelRun, 'targets' | 'plan'> = { targets: [], plan: [] };
    const watched = observedTechnique(technique, {
      onApply: () => {
        applied++;
      },
      onPlan: (targets, plan) => {
        planned = { targets, plan };
      },
    });
    try {
      const result = await bench.compress(request(model, { technique: watched, ...(modules === undefined ? {} : { modules }) }));
      return { result, ...planned };
    } catch (thrown) {
      if (isPareError(thrown) && applied === 0 && !faults.includes(thrown.code)) return { refused: thrown };
      throw thrown;
    }
  };
  let first: ReturnType<typeof attempt> | undefined;
  /** The run on all targets of the usual model, which several checks look at. */
  const usual = (): ReturnType<typeof attempt> => (first ??= attempt(models[0]!));
  const usualRun = async (): Promise<ModelRun> => {
    const run = await usual();
    if ('refused' in run) throw run.refused;
    return run;
  };
  let second: Promise<BenchResult> | undefined;
  /** The same once more. */
  const again = async (): Promise<BenchResult> => {
    const bench = await openBench();
    return await (second ??= bench.compress(request(models[0]!)));
  };

  const resume = async (): Promise<readonly Finding[]> => {
    const bench = await openBench();
    const { result: through, targets } = await usualRun();
    const output = `resumed-${String(outputs++)}`;
    const controller = new AbortController();
    let blocks = 0;
    let modulesAfter = 0;
    const interrupted: unknown = await bench
      .compress(
        request(models[0]!, {
          output,
          signal: controller.signal,
          onBlock: () => {
            blocks++;
          },
          // In the middle of the second block: one is kept, one is lost.
          onModule: () => {
            if (blocks < 1) return;
            modulesAfter++;
            controller.abort();
          },
        }),
      )
      .catch((thrown: unknown) => thrown);
    if (!controller.signal.aborted) {
      if (interrupted instanceof Error) throw interrupted;
      // What stands outside the blocks is one piece of work, of which nothing is kept.
      if (targets.every(({ block }) => block === undefined)) return [];
      return [{ fault: `${name} could not be interrupted on the usual model`, expected: 'targets in at least two blocks', found: `${String(blocks)} block(s) with results`, advice: 'begin kit.modelNames with a model of two blocks or more, all of which the technique works on' }];
    }
    // The host ends the run by itself once the technique is done with the block.
    if (!isPareError(interrupted) || interrupted.code !== 'PARE_ABORTED' || modulesAfter > 1) return [ignoresCancel(name, interrupted, `went on over ${String(modulesAfter)} modules of a block, in the first of which its signal had fired`)];
    // What the technique remembers of the interrupted run, if anything, is now of another: as in a new process.
    for (const other of models.slice(1)) if (!('refused' in (await attempt(other)))) break;
    const resumed = await bench.compress(request(models[0]!, { output, resume: true }));
    // One that differs from run to run is told so by the check before this one.
    if (isDeepStrictEqual(resumed.files, through.files) || !isDeepStrictEqual((await again()).files, through.files)) return [];
    return [{ fault: `${name} breaks resume: a run that was interrupted after ${String(resumed.restoredBlocks)} block(s) ends differently`, expected: 'the bytes of a run that went through', found: different(through, resumed), advice: 'a resumed run starts with a later block in a new process: what apply needs must come from its context (block, seed, targets), never from what an earlier call left behind' }];
  };

  return [
    ...models.map((model) =>
      check(`keeps its promises on a model with ${model}, or refuses it before any work`, async () => {
        const run = await (model === models[0] ? usual() : attempt(model));
        return 'refused' in run ? [] : resultFindings(technique, run, kit);
      }),
    ),
    check('changes its targets and nothing else', async () => {
      const all = await usual();
      if ('refused' in all) return [{ fault: `${name} refuses the usual model`, expected: 'a model that it can be tried on', found: describeThrown(all.refused), advice: 'give the suite options that fit (kit.modelOptions)' }];
      // Every other one, so that each block has some of both.
      const targets = all.targets.filter((_, index) => index % 2 === 0);
      const modules = targets.map((target) => target.name);
      const some = await attempt(models[0]!, modules);
      if ('refused' in some) return [];
      return [...planTargetFindings(name, some.plan, modules), ...resultFindings(technique, { ...some, targets }, kit)];
    }),
    check('ends with the same bytes when it is run again', async () => {
      const [{ result: through }, second] = [await usualRun(), await again()];
      if (isDeepStrictEqual(second.files, through.files)) return [];
      return [{ fault: `${name} is not deterministic: two runs over a model differ`, expected: 'the same files', found: different(through, second), advice: 'keep nothing between calls of apply and runs: a module-level variable or a closure survives into the next run' }];
    }),
    // Training and removals are one piece of work, of which the host keeps nothing.
    ...(technique.scope === 'block' || technique.scope === 'tensor' ? [check('stops within a block when it is cancelled, and ends with the same bytes when it is resumed', resume)] : []),
  ];
}

function different(a: BenchResult, b: BenchResult): string {
  const modules = [...a.forms].filter(([module, form]) => !isDeepStrictEqual(form, b.forms.get(module))).map(([module]) => module);
  return modules.length === 0 ? `other files: ${Object.keys(a.files).filter((file) => a.files[file] !== b.files[file]).join(', ')}` : `other weights in ${modules.slice(0, 3).join(', ')}${modules.length > 3 ? ` and ${String(modules.length - 3)} more` : ''}`;
}

/** Promises, leaks, and everything beside the targets. */
function resultFindings<O>(technique: Technique<O>, { result, targets, plan }: ModelRun, kit: TechniqueConformanceOptions<O>): Finding[] {
  const name = `technique ${technique.id}`;
  const findings: Finding[] = [];
  const modules = targets.map((target) => target.name);
  // Where parts of the model are taken out, no tensor is what it was.
  if (technique.restructure === undefined) {
    const plans = new Map(plan.map((entry) => [entry.module, entry]));
    for (const module of modules) {
      const form = result.forms.get(module);
      findings.push(...formFindings(name, module, form, form?.shape ?? []));
      const entry = plans.get(module);
      const report = result.reports.get(module);
      if (form !== undefined && entry !== undefined && report?.fallback === undefined) findings.push(...promiseFindings(name, entry, form));
    }
    const own = new Set(modules.map((module) => `${module}.weight`));
    const changed = [...result.before].filter(([tensor, hash]) => result.after.get(tensor) !== hash && !own.has(tensor)).map(([tensor]) => tensor);
    const foreign = technique.adjusts === true ? changed.filter((tensor) => kit.adjusts?.some((pattern) => pattern.test(tensor)) !== true) : changed;
    if (foreign.length > 0) findings.push({ fault: `${name} writes outside its targets`, expected: `${targets.length === 1 ? 'its one target' : `its ${String(targets.length)} targets`} to change${technique.adjusts === true ? `, and what kit.adjusts allows` : ''}`, found: `${foreign.slice(0, 3).join(', ')}${foreign.length > 3 ? ` and ${String(foreign.length - 3)} more` : ''} changed`, advice: technique.adjusts === true ? 'adjust only what the targets’ results belong to, and list it in kit.adjusts' : 'replace only the modules of context.modules; a technique that has to change norms or biases declares adjusts: true' });
  }
  if (result.changedSources.length > 0) findings.push({ fault: `${name} writes outside its targets: it changes files of the model it reads`, expected: 'the source folder as it was', found: `${result.changedSources.join(', ')} changed`, advice: 'hand results in with replace; formats write them' });
  if (result.leaked > 0) findings.push({ fault: `${name} leaks: ${String(result.leaked)} device tensors are still alive after the run`, expected: 'no device tensor alive', found: String(result.leaked), advice: 'dispose what apply allocates; a scope does it also when an error is thrown: using scope = backend.scope()' });
  return findings;
}
