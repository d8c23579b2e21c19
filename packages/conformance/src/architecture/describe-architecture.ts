import { isPareError, type Architecture, type ModelConfig } from '@pare/core';
import { isDeepStrictEqual } from 'node:util';
import { check, declareChecks, runChecks, type CheckSuite } from '../kit/check.js';
import { describeThrown, type Finding } from '../kit/finding.js';
import { identityFindings } from '../kit/identity-checks.js';
import { describedTensors, descriptionProblems } from './description-problems.js';

export interface ArchitectureConformanceOptions {
  /** Contents of `config.json` files that the architecture describes, by name. */
  readonly configs: Readonly<Record<string, ModelConfig>>;
  /** Shapes of the tensors that a checkpoint with the configuration of this name has, as stored. */
  readonly tensors?: Readonly<Record<string, Readonly<Record<string, readonly number[]>>>>;
}

/**
 * The suite that every architecture must pass: descriptions that agree with themselves and with checkpoints, and configurations that are refused by the key that is wrong, whatever is in it.
 * Call it at the top level of a vitest file. Whether the model computes what it should, golden logits tell.
 */
export function describeArchitecture(architecture: Architecture, kit: ArchitectureConformanceOptions): void {
  declareChecks(architectureSuite(architecture, kit));
}

/** The same as findings, without a test runner. */
export function checkArchitecture(architecture: Architecture, kit: ArchitectureConformanceOptions): Promise<readonly Finding[]> {
  return runChecks(architectureSuite(architecture, kit));
}

/** Values that no key of a configuration means anything with, and some that few do. */
const strange: readonly unknown[] = [undefined, null, '', 'no such thing', -1, 0, 0.5, 1e300, Number.NaN, true, [], {}, [null]];

function architectureSuite(architecture: Architecture, { configs, tensors = {} }: ArchitectureConformanceOptions): CheckSuite {
  const name = `architecture ${architecture.id}`;
  return {
    name,
    close: () => Promise.resolve(),
    checks: [
      check('says who it is', () => [
        ...identityFindings(name, architecture),
        ...(architecture.modelTypes.length > 0 ? [] : [{ fault: `${name} describes no model`, expected: 'values of model_type in config.json', found: '[]', advice: 'set modelTypes' }]),
        ...Object.entries(configs)
          .filter(([, { model_type: type }]) => !architecture.modelTypes.includes(type as string))
          .map(([config, { model_type: type }]) => ({ fault: `${name} would never be given ${config}`, expected: `model_type one of ${architecture.modelTypes.join(', ')}`, found: String(type), advice: 'add it to modelTypes' })),
      ]),
      ...Object.entries(configs).flatMap(([config, values]) => [
        check(`describes ${config}`, () => {
          const frozen = structuredClone(values);
          const description = architecture.describe(values);
          const findings: Finding[] = descriptionProblems(description).map((problem) => ({ fault: `${name} describes an impossible decoder`, expected: 'sizes that fit each other', found: `${config}: ${problem}`, advice: 'DecoderDescription in @pare/core says what each size is; ConfigReader.fail refuses what cannot be' }));
          if (!isDeepStrictEqual(values, frozen)) findings.push({ fault: `${name} changes the configuration that it reads`, expected: 'config.json as it was', found: 'other values', advice: 'copy before you change' });
          if (!isDeepStrictEqual(architecture.describe(values), description)) findings.push({ fault: `${name} is not deterministic`, expected: 'one description of one configuration', found: 'two', advice: 'keep no state between calls' });
          if (!isDeepStrictEqual(definite(JSON.parse(JSON.stringify(description))), definite(description))) findings.push({ fault: `${name} describes with more than data`, expected: 'a description that JSON can hold', found: 'functions, NaN, maps or dates', advice: 'descriptions are data: graphs are made from them' });
          const stored = tensors[config];
          if (stored !== undefined) findings.push(...tensorFindings(name, config, describedTensors(description), stored));
          return findings;
        }),
        check(`takes ${config} or names the key, whatever is in it`, () => {
          const findings: Finding[] = [];
          for (const key of Object.keys(values)) {
            for (const value of strange) {
              const found = `${key}: ${value === undefined ? 'missing' : JSON.stringify(value)}`;
              const changed: Record<string, unknown> = { ...values };
              if (value === undefined) Reflect.deleteProperty(changed, key);
              else changed[key] = value;
              try {
                const problems = descriptionProblems(architecture.describe(changed));
                if (problems.length > 0) findings.push({ fault: `${name} describes an impossible decoder instead of refusing the configuration`, expected: 'PARE_CONFIG_INVALID', found: `${found} gives ${problems[0]!}`, advice: `read ${key} with ConfigReader (integer, positive, boolean, …), and refuse with config.fail what does not fit the others` });
              } catch (thrown) {
                if (isPareError(thrown) && thrown.code === 'PARE_CONFIG_INVALID') continue;
                findings.push({ fault: `${name} fails on a bad configuration instead of refusing it`, expected: 'PARE_CONFIG_INVALID with the key', found: `${found} gives ${describeThrown(thrown)}`, advice: `read ${key} with ConfigReader, which names the key and what is allowed` });
              }
            }
          }
          return findings;
        }),
      ]),
    ],
  };
}

/** The same without members that are undefined, which JSON leaves out. */
function definite(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(definite);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(Object.entries(value).flatMap(([key, member]) => (member === undefined ? [] : [[key, definite(member)]])));
}

function tensorFindings(name: string, config: string, described: ReturnType<typeof describedTensors>, stored: Readonly<Record<string, readonly number[]>>): Finding[] {
  const missing = [...described].filter(([tensor, shape]) => !isDeepStrictEqual(stored[tensor], shape)).map(([tensor, shape]) => `${tensor} [${shape.join(', ')}], where there is ${stored[tensor] === undefined ? 'none' : `[${stored[tensor].join(', ')}]`}`);
  const unread = Object.keys(stored).filter((tensor) => !described.has(tensor));
  return [
    ...(missing.length > 0 ? [{ fault: `${name} asks for tensors that ${config} does not have`, expected: 'names and shapes of the checkpoint', found: missing.slice(0, 3).join('; '), advice: 'compare with the header of model.safetensors; layout says whether a matrix is stored [out, in] or [in, out]' }] : []),
    ...(unread.length > 0 ? [{ fault: `${name} leaves tensors of ${config} unread`, expected: 'every tensor to have a place in the description', found: unread.slice(0, 3).join(', '), advice: 'look for biases, norms of heads, and heads that are tied' }] : []),
  ];
}
