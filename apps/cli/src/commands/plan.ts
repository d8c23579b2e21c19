import type { ModulePlan, SparsityPattern } from '@pare/core';
import type { CompressionPlan } from '@pare/runtime';
import type { CommandContext } from '../context.js';
import { openHost } from '../host.js';
import type { PlanOptions } from '../program.js';
import { routeSettings } from '../settings.js';
import type { Style } from '../terminal/style.js';
import { formatPairs, formatTable } from '../terminal/table.js';
import { formatBytes } from '../values/bytes.js';
import { formatCount, formatSeconds } from '../values/numbers.js';

/** `pare plan`: what a recipe would do, from shapes alone. */
export async function plan(context: CommandContext, model: string, options: PlanOptions): Promise<void> {
  const { terminal, signal } = context;
  await using host = await openHost(context);
  const settings = await routeSettings(host, options.set, { formats: options.format, backend: options.backend, evaluators: [] });
  const planned = await host.plan({
    model,
    recipe: options.recipe,
    set: settings.recipe,
    seed: options.seed,
    formats: settings.formats,
    calibration: options.calibration === undefined ? undefined : { data: options.calibration, samples: options.samples, sequenceLength: options.sequenceLength },
    prompts: options.prompts,
    backend: settings.backend,
    memory: options.memory,
    signal,
  });
  if (terminal.json) terminal.printJson(planned);
  else terminal.print(planText(planned, options.modules === true, terminal.style));
}

/** A sparsity pattern as recipes write it. */
function patternText(pattern: SparsityPattern): string {
  return pattern.kind === 'unstructured' ? pattern.kind : `${String(pattern.zeros)}:${String(pattern.group)}`;
}

/** What a module becomes: `quantized`, `sparse 2:4`, `factorized, rank 64`. */
function kindText({ produces, sparsity, rank }: ModulePlan): string {
  if (sparsity !== undefined) return `${produces} ${patternText(sparsity.pattern)}`;
  return rank === undefined ? produces : `${produces}, rank ${String(rank)}`;
}

/** What structural stages leave of the model. */
function remainingRows({ model, remaining }: CompressionPlan): (readonly [string, string])[] {
  if (remaining === undefined) return [];
  const { parameters, blocks, macs } = remaining;
  const share = (part: number, whole: number): string => `${((100 * part) / whole).toFixed(1)} %`;
  return [
    ['remains', `${formatCount(parameters)} parameters (${share(parameters, model.parameters)}), ${formatCount(blocks)} layers`],
    ['MACs', `${formatCount(macs.after)} for ${String(macs.sequenceLength)} tokens (${share(macs.after, macs.before)} of ${formatCount(macs.before)})`],
  ];
}

function planText(plan: CompressionPlan, withModules: boolean, style: Style): string {
  const { model } = plan;
  const parts = [
    formatPairs([
      ['model', `${model.name}  ${formatCount(model.parameters)} parameters, ${formatBytes(model.bytes)}, ${formatCount(model.blocks)} layers`],
      ['backend', `${plan.backend.id}${plan.backend.device === undefined ? '' : `  ${plan.backend.device.name}`}`],
      ...(plan.calibration === undefined
        ? []
        : [['calibration', `${plan.calibration.data}  ${String(plan.calibration.samples)} × ${String(plan.calibration.sequenceLength)} tokens`] as const]),
      ['formats', plan.formats.map(({ id }) => id).join(', ')],
    ]),
    formatTable(
      [
        { title: 'stage' },
        { title: 'technique' },
        { title: 'modules', align: 'right' },
        { title: 'stored', align: 'right' },
        { title: 'peak memory', align: 'right' },
        { title: 'time', align: 'right' },
      ],
      plan.stages.map((stage) => [
        String(stage.index + 1),
        stage.technique,
        String(stage.modules.length),
        formatBytes(stage.storedBits / 8),
        formatBytes(stage.peakBytes),
        `~ ${formatSeconds(stage.seconds)}`,
      ]),
      style.dim,
    ),
  ];
  if (withModules) {
    for (const stage of plan.stages) {
      parts.push(
        formatTable(
          [{ title: stage.technique }, { title: 'shape' }, { title: 'form' }, { title: 'bits', align: 'right' }, { title: 'group', align: 'right' }, { title: 'stored', align: 'right' }],
          stage.modules.map((module) => [
            module.module,
            module.info.shape.join(' × '),
            kindText(module),
            module.bits === undefined ? '' : String(module.bits),
            module.groupSize === undefined ? '' : String(module.groupSize),
            formatBytes(module.storedBits / 8),
          ]),
          style.dim,
        ),
      );
    }
  }
  parts.push(
    formatPairs([
      ...remainingRows(plan),
      ['result', `${formatBytes(plan.outputBytes)}, ${plan.bitsPerWeight.toFixed(3)} bits per weight`],
      ['disk', `${formatBytes(plan.diskBytes)} with temporary files`],
      ['peak memory', `${formatBytes(plan.peakMemoryBytes)}; --memory accepts ${formatBytes(plan.smallestMemoryBytes)} or more`],
      ['time', `~ ${formatSeconds(plan.seconds)}`],
    ]),
  );
  for (const fallback of plan.backend.fallbacks) parts.push(`${style.yellow('note')} ${plan.backend.id}: ${fallback}`);
  for (const { id, notes } of plan.formats) for (const note of notes) parts.push(`${style.yellow('note')} ${id}: ${note}`);
  for (const { message, help } of plan.missing) parts.push(`${style.yellow('missing')} ${message}; a run would be refused. ${help}`);
  return parts.join('\n\n');
}
