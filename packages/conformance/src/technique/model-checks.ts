import { isPareError, type ModulePlan, type Technique } from '@pare/core';
import { isDeepStrictEqual } from 'node:util';
import { check, type Check } from '../kit/check.js';
import { describeThrown, type Finding } from '../kit/finding.js';
import { formFindings, planTargetFindings, promiseFindings } from './form-findings.js';
import type { BenchRequest, BenchResult, ModelBench } from './model-bench.js';
import { observedTechnique } from './observed-technique.js';
import type { TechniqueConformanceOptions } from './technique-subject.js';

/** What can only be seen on whole models: awkward architectures, targets, cancelled and resumed runs. */
export function modelChecks<O>(technique: Technique<O>, kit: TechniqueConformanceOptions<O>, openBench: () => Promise<ModelBench>, models: readonly string[]): Check[] {
  const name = `technique ${technique.id}`;
  const options = kit.modelOptions ?? {};
  let outputs = 0;
  const request = (model: string, more: Partial<BenchRequest<O>> = {}): BenchRequest<O> => ({ technique, model, options, output: `run-${String(outputs++)}`, ...more });

  /** Runs on a model. A refusal before any work is an answer, too. */
  const attempt = async (bench: ModelBench, model: string, modules?: readonly string[]): Promise<{ readonly result: BenchResult; readonly targets: readonly string[] } | { readonly refused: unknown }> => {
    let applied = 0;
    let targets: readonly string[] = [];
    const watched = observedTechnique(technique, {
      onApply: () => {
        applied++;
      },
      onPlan: (given) => {
        targets = given;
      },
    });
    try {
      return { result: await bench.compress(request(model, { technique: watched, ...(modules === undefined ? {} : { modules }) })), targets };
    } catch (thrown) {
      if (isPareError(thrown) && applied === 0) return { refused: thrown };
      throw thrown;
    }
  };

  return [
    ...models.map((model) =>
      check(`keeps its promises on a model with ${model}, or refuses it before any work`, async () => {
        const outcome = await attempt(await openBench(), model);
        if ('refused' in outcome) return [];
        return resultFindings(technique, outcome.result, outcome.targets, kit);
      }),
    ),
    check('changes its targets and nothing else', async () => {
      const bench = await openBench();
      const all = await attempt(bench, models[0]!);
      if ('refused' in all) return [{ fault: `${name} refuses the usual model`, expected: 'a model that it can be tried on', found: describeThrown(all.refused), advice: 'give the suite options that fit (kit.modelOptions)' }];
      // Every other one, so that each block has some of both.
      const modules = all.targets.filter((_, index) => index % 2 === 0);
      const some = await attempt(bench, models[0]!, modules);
      if ('refused' in some) return [];
      return [...planTargetFindings(name, some.result.plan, modules), ...resultFindings(technique, some.result, modules, kit)];
    }),
    check('ends with the same bytes when it is interrupted and resumed', async () => {
      const bench = await openBench();
      const through = await bench.compress(request(models[0]!));
      const again = await bench.compress(request(models[0]!));
      if (!isDeepStrictEqual(again.files, through.files)) return [{ fault: `${name} is not deterministic: two runs over a model differ`, expected: 'the same files', found: different(through, again), advice: 'keep nothing between calls of apply and runs: a module-level variable or a closure survives into the next run' }];
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
      if (!controller.signal.aborted) return [];
      if (!isPareError(interrupted) || interrupted.code !== 'PARE_ABORTED') return [{ fault: `${name} ignores cancellation`, expected: 'PARE_ABORTED within the block', found: interrupted instanceof Error ? describeThrown(interrupted) : `the run went on to its end, over ${String(modulesAfter)} modules`, advice: 'call throwIfAborted(signal, …) at least once a module, and let its error through' }];
      // What the technique remembers of the interrupted run, if anything, is now of another: as in a new process.
      for (const other of models.slice(1)) if (!('refused' in (await attempt(bench, other)))) break;
      const resumed = await bench.compress(request(models[0]!, { output, resume: true }));
      if (isDeepStrictEqual(resumed.files, through.files)) return [];
      return [{ fault: `${name} breaks resume: a run that was interrupted after ${String(resumed.restoredBlocks)} block(s) ends differently`, expected: 'the bytes of a run that went through', found: different(through, resumed), advice: 'a resumed run starts with a later block in a new process: what apply needs must come from its context (block, seed, targets), never from what an earlier call left behind' }];
    }),
  ];
}

function different(a: BenchResult, b: BenchResult): string {
  const modules = [...a.forms].filter(([module, form]) => !isDeepStrictEqual(form, b.forms.get(module))).map(([module]) => module);
  return modules.length === 0 ? `other files: ${Object.keys(a.files).filter((file) => a.files[file] !== b.files[file]).join(', ')}` : `other weights in ${modules.slice(0, 3).join(', ')}${modules.length > 3 ? ` and ${String(modules.length - 3)} more` : ''}`;
}

/** Promises, leaks, and everything beside the targets. */
function resultFindings<O>(technique: Technique<O>, result: BenchResult, targets: readonly string[], kit: TechniqueConformanceOptions<O>): Finding[] {
  const name = `technique ${technique.id}`;
  const findings: Finding[] = [];
  // Where parts of the model are taken out, no tensor is what it was.
  if (technique.restructure === undefined) {
    const plans = new Map<string, ModulePlan>(result.plan.map((entry) => [entry.module, entry]));
    for (const module of targets) {
      const form = result.forms.get(module);
      findings.push(...formFindings(name, module, form, form?.shape ?? []));
      const entry = plans.get(module);
      const report = result.reports.get(module);
      if (form !== undefined && entry !== undefined && report?.fallback === undefined) findings.push(...promiseFindings(name, entry, form));
    }
    const own = new Set(targets.map((module) => `${module}.weight`));
    const changed = [...result.before].filter(([tensor, hash]) => result.after.get(tensor) !== hash && !own.has(tensor)).map(([tensor]) => tensor);
    const foreign = technique.adjusts === true ? changed.filter((tensor) => kit.adjusts?.some((pattern) => pattern.test(tensor)) !== true) : changed;
    if (foreign.length > 0) findings.push({ fault: `${name} writes outside its targets`, expected: `${targets.length === 1 ? 'its one target' : `its ${String(targets.length)} targets`} to change${technique.adjusts === true ? `, and what kit.adjusts allows` : ''}`, found: `${foreign.slice(0, 3).join(', ')}${foreign.length > 3 ? ` and ${String(foreign.length - 3)} more` : ''} changed`, advice: technique.adjusts === true ? 'adjust only what the targets’ results belong to, and list it in kit.adjusts' : 'replace only the modules of context.modules; a technique that has to change norms or biases declares adjusts: true' });
  }
  if (result.changedSources.length > 0) findings.push({ fault: `${name} writes outside its targets: it changes files of the model it reads`, expected: 'the source folder as it was', found: `${result.changedSources.join(', ')} changed`, advice: 'hand results in with replace; formats write them' });
  if (result.leaked > 0) findings.push({ fault: `${name} leaks: ${String(result.leaked)} device tensors are still alive after the run`, expected: 'no device tensor alive', found: String(result.leaked), advice: 'dispose what apply allocates; a scope does it also when an error is thrown: using scope = backend.scope()' });
  return findings;
}
