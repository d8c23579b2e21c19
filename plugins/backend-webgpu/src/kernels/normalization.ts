import type { DeviceTraits, Dispatch, NormalizationRequest, Operand, Program } from '@pare/executor';
import { normalization as text } from './kernels.gen.js';
import { lanesOf, rowLaunches } from './rows.js';
import { kernel, uniformWords } from './shader.js';
import { boxes, windowOf, type Reach } from './windows.js';

/**
 * Layer or RMS normalisation of rows; see `NormalizationRequest`. A row has to fit into a binding.
 * @throws RangeError when it does not
 */
export function normalization(request: NormalizationRequest, traits: DeviceTraits): Program {
  const { rows, columns, epsilon, kind, scale, bias } = request;
  if (columns === 0) return { temporaries: [], dispatches: [] };
  const x: Reach = { buffer: 'x', access: 'read', elementBytes: 4 * columns, strides: { row: 4 * columns } };
  const y: Reach = { ...x, buffer: 'y', access: 'write' };
  const mean: Reach = { buffer: 'mean', access: 'write', elementBytes: 4, strides: { row: 4 } };
  const inverse: Reach = { ...mean, buffer: 'inverse' };
  const outputs = [y, ...(request.mean ? [mean] : []), ...(request.inverse ? [inverse] : [])];
  const lanes = lanesOf(columns);
  const parameter = (buffer: string): Operand => ({ buffer, access: 'read', offset: 0, size: 4 * columns });
  const parameters = [...(scale ? [parameter('scale')] : []), ...(bias ? [parameter('bias')] : [])];
  const first = 1 + parameters.length;
  const source = kernel('normalization', text, {
    ...{ SCALE: scale, BIAS: bias, MEAN: request.mean, INVERSE: request.inverse, BIAS_BINDING: 1 + Number(scale) },
    ...{ Y_BINDING: first, MEAN_BINDING: first + 1, INVERSE_BINDING: first + 1 + Number(request.mean), SIZES_BINDING: first + outputs.length },
  });
  const dispatches = boxes({ row: { size: rows, multiple: 1 } }, [x, ...outputs], traits).flatMap((box): Dispatch[] => {
    const at = (reach: Reach): number => windowOf(reach, box, traits).base / 4;
    const count = box.size['row']!;
    const { groups, parts } = rowLaunches(count, lanes, traits);
    return parts.map(({ first: start, workgroups }) => ({
      kernel: source,
      operands: [windowOf(x, box, traits).operand, ...parameters, ...outputs.map((reach) => windowOf(reach, box, traits).operand)],
      uniforms: uniformWords([start, groups, count, columns, at(x), at(y), at(mean), at(inverse), lanes, Number(kind === 'rms'), { float: epsilon }]),
      workgroups,
    }));
  });
  return { temporaries: [], dispatches };
}
