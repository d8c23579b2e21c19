import type { Inspection } from '@pare/runtime';
import type { CommandContext } from '../context.js';
import { openHost } from '../host.js';
import type { InspectOptions } from '../program.js';
import type { Style } from '../terminal/style.js';
import { formatPairs, formatTable } from '../terminal/table.js';
import { formatBytes } from '../values/bytes.js';
import { formatCount } from '../values/numbers.js';

/** `pare inspect`: what a model is made of. */
export async function inspect(context: CommandContext, model: string, options: InspectOptions): Promise<void> {
  const { terminal, signal } = context;
  await using host = await openHost(context);
  const inspection = await host.inspect(model, { signal });
  if (terminal.json) terminal.printJson(inspection);
  else terminal.print(inspectionText(inspection, options, terminal.style));
}

function inspectionText(model: Inspection, options: InspectOptions, style: Style): string {
  const forms = new Map<string, number>();
  for (const module of model.modules) forms.set(module.form, (forms.get(module.form) ?? 0) + 1);
  const recipe = model.manifest?.recipe;
  const parts = [
    formatPairs([
      ['model', style.bold(model.name)],
      ['folder', model.directory],
      ['architecture', `${model.architecture}, model type ${model.modelType}`],
      ['parameters', formatCount(model.parameters)],
      ['weights', `${formatBytes(model.bytes)}, ${model.bitsPerWeight.toFixed(3)} bits per weight`],
      ['layers', `${String(model.blocks)}, hidden size ${formatCount(model.hiddenSize)}`],
      ['vocabulary', `${formatCount(model.vocabularySize)}${model.tiedHead ? ', head tied to the embedding' : ''}`],
      ['context', `${formatCount(model.maxPositions)} positions`],
      ['matrices', [...forms].map(([form, count]) => `${String(count)} ${form}`).join(', ')],
      ['tensors', formatCount(model.tensors.length)],
      ...(recipe === undefined ? [] : [['made by', `Pare: ${recipe.name === undefined ? '' : `${recipe.name}, `}${recipe.stages.map((stage) => stage.technique).join(' → ')}`] as const]),
    ]),
  ];
  if (options.modules === true) {
    parts.push(
      formatTable(
        [{ title: 'module' }, { title: 'kind' }, { title: 'role' }, { title: 'shape (out × in)' }, { title: 'stored' }],
        model.modules.map((module) => [
          module.name,
          module.kind,
          module.role,
          module.shape.join(' × '),
          module.sharedWith !== undefined ? `shared with ${module.sharedWith}` : module.form === 'dense' ? module.dtype : module.form,
        ]),
        style.dim,
      ),
    );
  }
  if (options.tensors === true) {
    parts.push(
      formatTable(
        [{ title: 'tensor' }, { title: 'type' }, { title: 'shape' }],
        model.tensors.map((tensor) => [tensor.name, tensor.dtype, tensor.shape.join(' × ')]),
        style.dim,
      ),
    );
  }
  return parts.join('\n\n');
}
