import type { DeviceTraits, Dispatch, Program, SoftmaxRequest } from '@pare/executor';
import { softmax as text } from './kernels.gen.js';
import { lanesOf, rowLaunches } from './rows.js';
import { kernel, uniformWords } from './shader.js';
import { boxes, windowOf, type Reach } from './windows.js';

/**
 * Softmax of rows; see `SoftmaxRequest`. A row has to fit into a binding.
 * @throws RangeError when it does not
 */
export function softmax({ rows, columns, logarithm }: SoftmaxRequest, traits: DeviceTraits): Program {
  if (columns === 0) return { temporaries: [], dispatches: [] };
  const x: Reach = { buffer: 'x', access: 'read', elementBytes: 4 * columns, strides: { row: 4 * columns } };
  const y: Reach = { ...x, buffer: 'y', access: 'write' };
  const lanes = lanesOf(columns);
  const source = kernel('softmax', text);
  const dispatches = boxes({ row: { size: rows, multiple: 1 } }, [x, y], traits).flatMap((box): Dispatch[] => {
    const [from, to] = [windowOf(x, box, traits), windowOf(y, box, traits)];
    const count = box.size['row']!;
    const { groups, parts } = rowLaunches(count, lanes, traits);
    return parts.map(({ first, workgroups }) => ({
      kernel: source,
      operands: [from.operand, to.operand],
      uniforms: uniformWords([first, groups, count, columns, from.base / 4, to.base / 4, lanes, Number(logarithm)]),
      workgroups,
    }));
  });
  return { temporaries: [], dispatches };
}
