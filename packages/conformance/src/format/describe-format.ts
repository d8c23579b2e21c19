import { isPareError, type Backend, type Format, type FormatContext, type Model, type ModulePlan } from '@pare/core';
import { createHash } from 'node:crypto';
import { cp, mkdir, mkdtemp, readdir, readFile, realpath, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import { check, declareChecks, runChecks, type Check, type CheckSuite } from '../kit/check.js';
import { describeThrown, type Finding } from '../kit/finding.js';
import { parseOptions, pluginChecks, type OptionSamples } from '../kit/identity-checks.js';
import { checkOnBackend } from '../kit/on-backend.js';

export interface FormatConformanceOptions extends OptionSamples {
  readonly makeBackend: () => Backend | Promise<Backend>;
  /** Models to write, by what is special about them. The suite closes them. `formatBench` of `@pare/testkit` has dense ones; add those of the forms that the format is for. */
  readonly subjects: Readonly<Record<string, () => Promise<Model>>>;
  /** What a recipe would have planned for a subject's modules, when `refuse` looks at plans; none by default. */
  readonly plans?: Readonly<Record<string, readonly ModulePlan[]>>;
  /** Options for the runs, as a command line would have them; the defaults when absent. */
  readonly runOptions?: Readonly<Record<string, unknown>>;
}

const log = { debug: () => undefined, info: () => undefined, warn: () => undefined, error: () => undefined };

/**
 * The suite that every format must pass: it lists every file that it writes with its size, writes the same bytes each time and none elsewhere, leaves the source alone, reads back what it wrote,
 * notices when a byte is different, missing or cut off, and stops when told to. Call it at the top level of a vitest file.
 */
export function describeFormat<O>(format: Format<O>, kit: FormatConformanceOptions): void {
  declareChecks(formatSuite(format, kit));
}

/** The same as findings, without a test runner. */
export function checkFormat<O>(format: Format<O>, kit: FormatConformanceOptions): Promise<readonly Finding[]> {
  return runChecks(formatSuite(format, kit));
}

interface Workplace<O> {
  readonly folder: string;
  readonly model: Model;
  readonly context: FormatContext<O>;
}

function formatSuite<O>(format: Format<O>, kit: FormatConformanceOptions): CheckSuite {
  const name = `format ${format.id}`;
  const subjects = Object.entries(kit.subjects);

  /** A check with an opened subject and an empty output folder. */
  const atWork = (title: string, open: () => Promise<Model>, work: (place: Workplace<O>) => Promise<readonly Finding[]>): Check =>
    checkOnBackend(name, kit.makeBackend, title, async (backend) => {
      const folder = await realpath(await mkdtemp(join(tmpdir(), 'pare-format-')));
      try {
        await using model = await open();
        await mkdir(join(folder, 'out'));
        const context: FormatContext<O> = {
          ...{ log, backend, model, seed: 0, services: {}, files: model.files, directory: join(folder, 'out'), signal: new AbortController().signal, progress: { report: () => undefined } },
          options: await parseOptions(format.options, kit.runOptions ?? {}),
        };
        return await work({ folder, model, context });
      } finally {
        await rm(folder, { recursive: true, force: true });
      }
    });

  const first = subjects[0];
  if (first === undefined) throw new Error(`describeFormat(${format.id}) needs a subject to write: subjects: { 'a dense model': () => … }`);

  return {
    name,
    close: () => Promise.resolve(),
    checks: [
      ...pluginChecks(name, format, kit),
      check('names the forms that it writes', () => (format.accepts.length > 0 ? [] : [{ fault: `${name} has an empty accepts`, expected: 'at least one form', found: '[]', advice: "accepts: ['dense', …]" }])),
      ...subjects.flatMap(([subject, open]) => [
        atWork(`accepts ${subject}`, open, ({ model, context }) => {
          const plans = new Map((kit.plans?.[subject] ?? []).map((plan) => [plan.module, plan]));
          const refusals = format.refuse(model, plans, context.options);
          return Promise.resolve(refusals.map(({ module, reason, help }) => ({ fault: `${name} refuses ${subject}`, expected: 'a subject that it can write', found: `${module}: ${reason} (${help})`, advice: 'give the suite models that fit (kit.subjects, kit.plans, kit.runOptions)' })));
        }),
        atWork(`writes ${subject} twice alike, and lists every file`, open, async ({ folder, model, context }) => {
          const source = await hashes(model.directory);
          const files = await format.write(context);
          const written = await hashes(context.directory);
          const findings: Finding[] = [];
          const listed = files.map(({ path }) => path).sort();
          if (!isDeepStrictEqual(listed, Object.keys(written).sort())) findings.push({ fault: `${name} does not list what it writes`, expected: Object.keys(written).sort().join(', ') || 'no files', found: listed.join(', ') || 'no files', advice: 'return every file once, relative to the output folder: the manifest and the size of the output are made from this' });
          for (const { path, bytes } of files) if (written[path] !== undefined && written[path].bytes !== bytes) findings.push({ fault: `${name} gives a file another size than it has`, expected: `${path} of ${String(written[path].bytes)} bytes`, found: `${String(bytes)} bytes`, advice: 'take sizes from what was written' });
          const others = (await readdir(folder)).filter((entry) => entry !== 'out');
          if (others.length > 0) findings.push({ fault: `${name} writes outside its folder`, expected: 'files in context.directory alone', found: others.join(', '), advice: 'join every path with context.directory' });
          if (!isDeepStrictEqual(await hashes(model.directory), source)) findings.push({ fault: `${name} changes the model that it reads`, expected: 'the source folder as it was', found: 'other files', advice: 'write into context.directory' });
          const again = join(folder, 'again');
          await mkdir(again);
          await format.write({ ...context, directory: again });
          const second = await hashes(again);
          const differing = Object.keys(written).filter((file) => second[file]?.hash !== written[file]!.hash);
          if (differing.length > 0) findings.push({ fault: `${name} is not deterministic: two writings of one model differ`, expected: 'the same bytes', found: `other ones in ${differing.join(', ')}`, advice: 'no dates, random names or unsorted maps in files: outputs are compared by hash' });
          return findings;
        }),
        atWork(`reads ${subject} back, and notices what is different, missing or cut off`, open, async ({ folder, context }) => {
          const files = await format.write(context);
          const { tensors, largestDifference } = await format.verify(context, files);
          const findings: Finding[] = [];
          if (!(tensors > 0) || !(largestDifference >= 0)) findings.push({ fault: `${name} verifies nothing`, expected: 'the tensors that were read, and the largest difference', found: JSON.stringify({ tensors, largestDifference }), advice: 'read every tensor back and compare it with the model' });
          const largest = [...files].sort((a, b) => b.bytes - a.bytes)[0];
          if (largest === undefined) return findings;
          const spoilt: [string, (content: Buffer) => Buffer | undefined][] = [
            ['has a byte changed in its middle', (content) => Buffer.concat([content.subarray(0, content.length >> 1), Buffer.from([content[content.length >> 1]! ^ 0x41]), content.subarray((content.length >> 1) + 1)])],
            ['has a byte changed at its end', (content) => Buffer.concat([content.subarray(0, -1), Buffer.from([content.at(-1)! ^ 0x41])])],
            ['is cut off', (content) => content.subarray(0, content.length - 1)],
            ['is missing', () => undefined],
          ];
          for (const [what, spoil] of spoilt) {
            const copy = join(folder, 'spoilt');
            await cp(context.directory, copy, { recursive: true });
            const content = spoil(await readFile(join(copy, largest.path)));
            if (content === undefined) await rm(join(copy, largest.path));
            else await writeFile(join(copy, largest.path), content);
            const outcome: unknown = await format.verify({ ...context, directory: copy }, files).catch((thrown: unknown) => thrown);
            await rm(copy, { recursive: true });
            if (!(outcome instanceof Error)) findings.push({ fault: `${name} does not notice that ${largest.path} ${what}`, expected: 'verify to throw PARE_VERIFICATION_FAILED', found: JSON.stringify(outcome), advice: 'read the files back from disk, with code that shares nothing with the writer, and compare every value and size' });
          }
          return findings;
        }),
      ]),
      atWork('stops when it was cancelled', first[1], async ({ context }) => {
        const outcome: unknown = await format.write({ ...context, signal: AbortSignal.abort() }).catch((thrown: unknown) => thrown);
        if (isPareError(outcome) && outcome.code === 'PARE_ABORTED') return [];
        return [{ fault: `${name} ignores cancellation`, expected: 'PARE_ABORTED', found: outcome instanceof Error ? describeThrown(outcome) : 'it wrote everything', advice: 'call throwIfAborted(signal, …) for every tensor' }];
      }),
    ],
  };
}

/** Size and hash of every file below a folder, by relative path. */
async function hashes(directory: string): Promise<Record<string, { readonly bytes: number; readonly hash: string }>> {
  const entries = (await readdir(directory, { recursive: true, withFileTypes: true })).filter((entry) => entry.isFile());
  const found: Record<string, { bytes: number; hash: string }> = {};
  for (const entry of entries) {
    const path = join(entry.parentPath, entry.name);
    const content = await readFile(path);
    found[path.slice(directory.length + 1).replaceAll('\\', '/')] = { bytes: content.length, hash: createHash('sha256').update(content).digest('hex') };
  }
  return found;
}
