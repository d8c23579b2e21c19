import type { Technique } from '@pare/core';
import { check, declareChecks, runChecks, type CheckSuite } from '../kit/check.js';
import type { Finding } from '../kit/finding.js';
import { pluginChecks } from '../kit/identity-checks.js';
import { layerChecks } from './layer-checks.js';
import type { ModelBench } from './model-bench.js';
import { modelChecks } from './model-checks.js';
import type { TechniqueConformanceOptions } from './technique-subject.js';

/** What a bench of models has by the names that suites use, the usual one first. */
export const awkwardModels = ['grouped queries', 'a tied head', 'experts', 'one block', 'odd sizes'] as const;

/**
 * The suite that every technique must pass: its options describe themselves, its plan keeps its word, its results are valid, finite and the same at every run, it stops when told to,
 * changes its targets alone, goes on where it was interrupted, and leaves nothing on the backend. Call it at the top level of a vitest file.
 *
 * It knows no host: `kit.run` applies the technique to plain layers and `kit.models` to tiny models, as `techniqueBench` of `@pare/testkit` does.
 */
export function describeTechnique<O>(technique: Technique<O>, kit: TechniqueConformanceOptions<O>): void {
  declareChecks(techniqueSuite(technique, kit));
}

/** The same as findings, without a test runner. */
export function checkTechnique<O>(technique: Technique<O>, kit: TechniqueConformanceOptions<O>): Promise<readonly Finding[]> {
  return runChecks(techniqueSuite(technique, kit));
}

function techniqueSuite<O>(technique: Technique<O>, kit: TechniqueConformanceOptions<O>): CheckSuite {
  const name = `technique ${technique.id}`;
  const { run, models } = kit;
  let bench: Promise<ModelBench> | undefined;
  return {
    name,
    checks: [
      ...pluginChecks(name, technique, kit),
      check('names the forms that it takes and makes', () =>
        (['accepts', 'produces'] as const).filter((what) => technique[what].length === 0).map((what) => ({ fault: `${name} has an empty ${what}`, expected: 'at least one form', found: '[]', advice: `name forms in ${what}: 'dense', 'quantized', 'sparse', …` })),
      ),
      ...(run === undefined ? [] : layerChecks(technique, kit, run)),
      ...(models === undefined ? [] : modelChecks(technique, kit, () => (bench ??= models()), kit.modelNames ?? awkwardModels)),
    ],
    close: async () => {
      await (await bench)?.[Symbol.asyncDispose]();
    },
  };
}
