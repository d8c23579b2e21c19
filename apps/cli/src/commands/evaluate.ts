import type { EvaluationReport } from '@pare/runtime';
import type { CommandContext } from '../context.js';
import { openHost } from '../host.js';
import type { EvaluateOptions } from '../program.js';
import { routeSettings } from '../settings.js';
import { showProgress } from '../terminal/progress-display.js';
import { formatPairs } from '../terminal/table.js';
import { formatNamedMetric } from '../values/numbers.js';
import { defaultEvaluators } from './default-evaluators.js';

/** `pare evaluate`: measures a model. */
export async function evaluate(context: CommandContext, model: string, options: EvaluateOptions): Promise<void> {
  const { terminal, signal } = context;
  await using host = await openHost(context);
  const evaluators = options.evaluator ?? defaultEvaluators(options.data, options.original);
  const settings = await routeSettings(host, options.set, { formats: [], backend: options.backend, evaluators });
  const display = await showProgress(host, terminal);
  let report: EvaluationReport;
  try {
    report = await host.evaluate({
      model,
      evaluators,
      data: options.data,
      items: options.items,
      original: options.original,
      commonOptions: {
        ...(options.samples !== undefined && { samples: options.samples }),
        ...(options.sequenceLength !== undefined && { sequenceLength: options.sequenceLength }),
      },
      set: [...settings.evaluators, ...settings.recipe],
      seed: options.seed,
      backend: settings.backend,
      signal,
    });
  } finally {
    display.stop();
  }

  if (terminal.json) {
    terminal.printJson({
      model: report.model,
      metrics: report.metrics,
      backend: report.backend,
      evaluations: report.evaluations.map(({ evaluator, options: used, metrics, details, seconds }) => ({ evaluator, options: used, metrics, details, seconds })),
    });
    return;
  }
  terminal.print(formatPairs(Object.entries(report.metrics).map(([name, value]) => [name, formatNamedMetric(name, value)])));
  if (options.evaluator === undefined && options.data === undefined) terminal.note('Give a text with --data to measure perplexity too.');
}
