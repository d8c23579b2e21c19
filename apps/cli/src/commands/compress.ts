import { isPareError, pareError } from '@pare/core';
import type { CompressionResult } from '@pare/runtime';
import { writeFile } from 'node:fs/promises';
import { resolve } from 'node:path';
import type { CommandContext } from '../context.js';
import { openHost } from '../host.js';
import type { CompressOptions } from '../program.js';
import { routeSettings } from '../settings.js';
import { showProgress } from '../terminal/progress-display.js';
import { formatPairs, formatTable } from '../terminal/table.js';
import { formatBytes } from '../values/bytes.js';
import { defaultCacheFolder } from '../values/cache-folder.js';
import { formatNamedMetric, formatSeconds } from '../values/numbers.js';
import { resumeCommand } from '../values/shell.js';
import { defaultEvaluators } from './default-evaluators.js';

/** `pare compress`: runs a recipe and writes the output folder. */
export async function compress(context: CommandContext, model: string, options: CompressOptions): Promise<void> {
  const { terminal, signal } = context;
  if (options.overwrite === true && options.resume === true) {
    throw pareError('PARE_COMMAND_INVALID', { problem: '--overwrite and --resume were both given', help: 'Use --resume to continue a run, or --overwrite to begin again.' });
  }
  await using host = await openHost(context, { cacheDirectory: defaultCacheFolder() });
  const evaluators = chosenEvaluators(options);
  const settings = await routeSettings(host, options.set, { formats: options.format, backend: options.backend, evaluators });
  const display = await showProgress(host, terminal);
  let result: CompressionResult;
  try {
    result = await host.compress({
      model,
      recipe: options.recipe,
      set: settings.recipe,
      seed: options.seed,
      calibration: options.calibration === undefined ? undefined : { data: options.calibration, samples: options.samples, sequenceLength: options.sequenceLength },
      prompts: options.prompts,
      formats: settings.formats,
      output: options.output,
      overwrite: options.overwrite,
      resume: options.resume,
      backend: settings.backend,
      memory: options.memory,
      evaluate: {
        evaluators,
        set: settings.evaluators,
        data: options.data,
        items: options.items,
        commonOptions: { sequenceLength: options.sequenceLength },
      },
      signal,
    });
  } catch (error) {
    throw signal.aborted ? interrupted(error, context) : error;
  } finally {
    display.stop();
  }

  const report = options.evaluate === undefined ? undefined : await writeReport(context, options.output);
  if (terminal.json) terminal.printJson({ ...compressionDocument(result), ...(report !== undefined && { report }) });
  else terminal.print(`${compressionText(result, context)}${report === undefined ? '' : `\n${formatPairs([['report', terminal.style.bold(report)]])}`}`);
}

/** Those of --evaluator and --evaluate, each once; the usual ones when neither names any. */
function chosenEvaluators({ evaluator = [], evaluate, data }: CompressOptions): readonly string[] {
  const named = [...new Set([...evaluator, ...(Array.isArray(evaluate) ? (evaluate as readonly string[]) : [])])];
  return named.length === 0 ? defaultEvaluators(data) : named;
}

/** Writes the report of an output folder beside it. @throws PARE_FILE_UNWRITABLE */
async function writeReport(context: CommandContext, output: string): Promise<string> {
  const [{ renderHtml }, { reportOf }] = await Promise.all([import('@pare/report'), import('../values/read-results.js')]);
  const file = `${output.replace(/[/\\]+$/, '')}.report.html`;
  const page = await renderHtml(await reportOf(context, [output]));
  await writeFile(resolve(context.cwd, file), page).catch((error: NodeJS.ErrnoException) => {
    throw pareError('PARE_FILE_UNWRITABLE', { file, reason: error.message }, error);
  });
  return file;
}

/** The interruption, with the command that goes on from there when something was finished. */
function interrupted(error: unknown, { argv }: CommandContext): unknown {
  if (!isPareError(error) || error.code !== 'PARE_ABORTED' || error.data['resume'] === undefined) return error;
  return pareError('PARE_ABORTED', { what: 'compression', resume: `Finished layers are kept. Continue with\n${resumeCommand(argv)}` }, error);
}

/** The document of `compress --json`. */
export function compressionDocument(result: CompressionResult): Record<string, unknown> {
  return {
    output: result.output,
    seconds: result.seconds,
    peakMemoryBytes: result.peakMemoryBytes,
    stages: result.stages.map(({ technique, modules, seconds, loss, fallbacks }) => ({ technique, modules, seconds, ...(loss !== undefined && { loss }), fallbacks })),
    metrics: result.metrics,
    metricsBefore: result.metricsBefore,
    formats: result.formats.map(({ id, files, verification }) => ({ id, files, verification })),
    backend: result.backend,
    restoredBlocks: result.restoredBlocks,
  };
}

function compressionText(result: CompressionResult, { terminal: { style } }: CommandContext): string {
  const parts: string[] = [];
  const names = [...new Set([...Object.keys(result.metricsBefore), ...Object.keys(result.metrics)])];
  if (names.length > 0) {
    const cell = (metrics: Readonly<Record<string, number>>, name: string): string => {
      const value = metrics[name];
      return value === undefined ? '' : formatNamedMetric(name, value);
    };
    parts.push(
      formatTable(
        [{ title: '' }, { title: 'before', align: 'right' }, { title: 'after', align: 'right' }],
        names.map((name) => [name, cell(result.metricsBefore, name), cell(result.metrics, name)]),
        style.dim,
      ),
    );
  }
  for (const stage of result.stages) {
    for (const { module, reason } of stage.fallbacks) parts.push(`${style.yellow('note')} ${stage.technique}, ${module}: ${reason}`);
  }
  parts.push(
    formatPairs([
      ['time', formatSeconds(result.seconds)],
      ...(result.peakMemoryBytes === undefined ? [] : [['peak memory', formatBytes(result.peakMemoryBytes)] as const]),
      ['written', `${style.bold(result.output)}  (${result.formats.map(({ id, files }) => `${id}: ${formatBytes(files.reduce((sum, file) => sum + file.bytes, 0))}`).join(', ')})`],
    ]),
  );
  return parts.join('\n');
}
