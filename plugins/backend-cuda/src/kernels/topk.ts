import { uniformWords, type Dispatch, type Program, type TopKRequest } from '@pare/executor';
import { topkCompare, topkOrder, topkSort, topkTake } from './kernels.gen.js';
import { blocks, kernel } from './kernel.js';

/** Entries that a block sorts in its memory. */
const largestPiece = 2048;
const kinds: Readonly<Record<TopKRequest['type'], number>> = { float32: 0, int32: 1, uint32: 2 };

/** The k first of each row in order; see `TopKRequest`. NaN comes first in either direction, zeros of both signs are equal. Rows are sorted as a whole. */
export function topK({ rows, columns, k, largest, type }: TopKRequest): Program {
  if (rows === 0 || k === 0) return { temporaries: [], dispatches: [] };
  const padded = Math.max(2, 2 ** Math.ceil(Math.log2(columns)));
  const piece = Math.min(padded, largestPiece);
  const pieces = (rows * padded) / piece;
  const smallest = Number(!largest);
  const entries = { buffer: 'entries', access: 'write' } as const;
  const x = { buffer: 'x', access: 'read' } as const;
  const dispatches: Dispatch[] = [
    {
      kernel: kernel('topk-sort', topkSort, { values: { FROM_X: 1, PIECE: piece, TYPE: kinds[type] }, libraries: [topkOrder] }),
      operands: [x, entries],
      uniforms: uniformWords([columns, padded, 0, smallest]),
      workgroups: [pieces, 1, 1],
    },
  ];
  for (let run = 2 * piece; run <= padded; run *= 2) {
    for (let distance = run / 2; distance >= piece; distance /= 2) {
      dispatches.push({ kernel: kernel('topk-compare', topkCompare), operands: [entries], uniforms: uniformWords([padded, run, distance]), workgroups: blocks((rows * padded) / 2) });
    }
    dispatches.push({
      kernel: kernel('topk-merge', topkSort, { values: { FROM_X: 0, PIECE: piece, TYPE: kinds[type] }, libraries: [topkOrder] }),
      operands: [entries],
      uniforms: uniformWords([columns, padded, run, smallest]),
      workgroups: [pieces, 1, 1],
    });
  }
  dispatches.push({
    kernel: kernel('topk-take', topkTake),
    operands: [x, { buffer: 'entries', access: 'read' }, { buffer: 'values', access: 'write' }, { buffer: 'indices', access: 'write' }],
    uniforms: uniformWords([rows, columns, k, padded]),
    workgroups: blocks(rows * k),
  });
  return { temporaries: [{ name: 'entries', bytes: rows * padded * 8 }], dispatches };
}
