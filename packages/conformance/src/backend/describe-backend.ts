import { isPareError, type Backend } from '@pare/core';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { runOnce, type BackendCase, type Tolerance } from './backend-case.js';
import { attentionCases } from './cases/attention-cases.js';
import { elementwiseCases } from './cases/elementwise-cases.js';
import { gradientCases } from './cases/gradient-cases.js';
import { matrixCases } from './cases/matrix-cases.js';
import { movementCases } from './cases/movement-cases.js';
import { quantizedCases } from './cases/quantized-cases.js';
import { reductionCases } from './cases/reduction-cases.js';
import { specialValueCases } from './cases/special-value-cases.js';
import { typeCases } from './cases/type-cases.js';
import { difference } from './compare.js';
import { contractTests } from './contract-tests.js';
import { nodeCases } from './node-cases.js';

/** A case that fails on a backend for a known reason. When it starts to pass, the suite fails until the entry is removed. */
export interface KnownFailure {
  readonly reason: string;
  /** Where the failure is tracked: the address of an issue. */
  readonly issue: string;
}

export interface BackendConformanceOptions {
  /** `structure` compares types and shapes only, for backends that compute nothing. `values` by default. */
  readonly compare?: 'values' | 'structure';
  /**
   * Names of the cases that the backend cannot run, as `backend.unsupported(graph)` says of their graphs. None by default. The suite fails when
   * the backend turns down another case or can run one of these: what is not covered is always written down.
   */
  readonly unsupported?: readonly string[];
  /** Cases that the backend says it can run and that fail, by name. */
  readonly knownFailures?: Readonly<Record<string, KnownFailure>>;
  /** Cases whose results may be further off than the suite allows, by name, with the reason. */
  readonly tolerances?: Readonly<Record<string, Tolerance & { readonly reason: string }>>;
}

const propertyGroups: Readonly<Record<string, readonly BackendCase[]>> = {
  'element by element': elementwiseCases,
  'along axes': reductionCases,
  'matrix products': matrixCases,
  'moving elements': movementCases,
  'element types': typeCases,
  'integer representations': quantizedCases,
  attention: attentionCases,
  gradients: gradientCases,
  'NaN and infinities': specialValueCases,
};

/** Names of all cases by group, in the suite's order; what `unsupported`, `knownFailures` and `tolerances` may name. */
export function backendCaseNames(): Readonly<Record<string, readonly string[]>> {
  const groups = { 'ONNX node cases': nodeCases(), ...propertyGroups };
  return Object.fromEntries(Object.entries(groups).map(([group, cases]) => [group, cases.map(({ name }) => name)]));
}

/**
 * The suite that every backend must pass: the ONNX project's node cases, awkward shapes and values against the reference evaluator, and the
 * rules of the backend contract (tensor lifetimes, checks, cancellation, memory report). Call it at the top level of a vitest file.
 *
 * `makeBackend` opens a backend; the suite opens a few and disposes them.
 */
export function describeBackend(name: string, makeBackend: () => Backend | Promise<Backend>, options: BackendConformanceOptions = {}): void {
  const unsupported = new Set(options.unsupported);
  const knownFailures = options.knownFailures ?? {};
  const structureOnly = options.compare === 'structure';
  const ran = new Set<string>();
  const turnedDown = new Set<string>();
  let backend: Backend;
  let tensorsBefore = 0;

  const runCase = async (test: BackendCase): Promise<void> => {
    const { graph, inputs, expected } = test.build();
    const lacking = backend.unsupported(graph);
    ran.add(test.name);
    if (lacking.length > 0) {
      turnedDown.add(test.name);
      await expectRejection(backend, test, lacking.map(({ operator, reason }) => `${operator}: ${reason}`).join('; '));
      return;
    }
    const actual = await runOnce(backend, graph, inputs);
    const tolerance = options.tolerances?.[test.name] ?? test.tolerance;
    const wrong = graph.outputs
      .map((output) => difference(output.name, actual[output.name], expected[output.name]!, tolerance, structureOnly))
      .find((text) => text !== undefined);
    if (wrong !== undefined) {
      const given = Object.entries(inputs).map(([input, { dtype, shape }]) => `${input} ${dtype} [${shape.join(', ')}]`);
      throw new Error(
        `${wrong}\n${test.title}, backend "${backend.id}". Inputs: ${given.join(', ') || 'none'}.\n` +
          'If the backend cannot do this operator with these types or attributes, let backend.unsupported(graph) say so; ' +
          'if it is a defect that must wait, enter the case in knownFailures.',
      );
    }
  };

  const caseTest = (test: BackendCase): void => {
    const known = knownFailures[test.name];
    it(known === undefined ? test.name : `${test.name} (known to fail: ${known.reason})`, async () => {
      if (known === undefined) return runCase(test);
      const failure = await runCase(test).then(
        () => undefined,
        (error: unknown) => error,
      );
      if (failure === undefined)
        throw new Error(`${test.name} passes now. Remove it from knownFailures (it was there because: ${known.reason}; ${known.issue}).`);
    });
  };

  describe(`backend ${name}`, () => {
    const groups: Readonly<Record<string, readonly BackendCase[]>> = { 'ONNX node cases': nodeCases(), ...propertyGroups };
    const all = Object.values(groups).flat();

    beforeAll(async () => {
      backend = await makeBackend();
    });

    afterAll(async () => {
      await backend[Symbol.asyncDispose]();
    });

    beforeEach(() => {
      tensorsBefore = backend.memory().tensors;
    });

    afterEach(async () => {
      await backend.synchronize();
      const leaked = backend.memory().tensors - tensorsBefore;
      if (leaked < 0) throw new Error('memory() counts fewer tensors than before the test; count every tensor down once, at its first disposal.');
      if (leaked > 0) {
        throw new Error(
          `${String(leaked)} device tensors are still alive after the test, which disposed all of its own. ` +
            'Dispose what a run makes for itself: intermediates after their last use, and everything when a run fails or is cancelled.',
        );
      }
    });

    for (const [group, cases] of Object.entries(groups)) {
      describe(group, () => {
        cases.forEach(caseTest);
      });
    }

    describe('contract', () => {
      contractTests({ backend: () => backend, makeBackend, structureOnly });
    });

    it('runs every case that it does not declare as unsupported, and no other', () => {
      const names = new Set(all.map((test) => test.name));
      const strangers = [...unsupported, ...Object.keys(knownFailures), ...Object.keys(options.tolerances ?? {})].filter((entry) => !names.has(entry));
      expectNone(strangers, 'these names in unsupported, knownFailures or tolerances are no cases of the suite (backendCaseNames() lists them)');
      const undeclared = [...turnedDown].filter((entry) => !unsupported.has(entry));
      const stale = [...unsupported].filter((entry) => ran.has(entry) && !turnedDown.has(entry));
      expectNone(undeclared, 'the backend turns these cases down; support them, or list them in unsupported so that it is written down');
      expectNone(stale, 'the backend can run these cases now; remove them from unsupported');
    });
  });
}

/** Fails with the whole list, ready to be copied. */
function expectNone(names: readonly string[], problem: string): void {
  expect(names.length, `${problem}:\n${names.map((name) => `  '${name}',`).join('\n')}\n`).toBe(0);
}

/** A graph that the backend says it lacks operators for must be refused by compile with the same words. */
async function expectRejection(backend: Backend, test: BackendCase, reason: string): Promise<void> {
  const error = await backend.compile(test.build().graph).then(
    async (executable) => {
      await executable[Symbol.asyncDispose]();
      return undefined;
    },
    (thrown: unknown) => thrown,
  );
  if (isPareError(error) && error.code === 'PARE_OPERATOR_UNSUPPORTED') return;
  const outcome = error === undefined ? 'compiled it all the same' : `rejected with ${String(error)}`;
  throw new Error(
    `backend.unsupported() turns ${test.name} down (${reason}), but compile ${outcome}. ` +
      'Make compile reject with PARE_OPERATOR_UNSUPPORTED whenever unsupported() is not empty.',
  );
}
