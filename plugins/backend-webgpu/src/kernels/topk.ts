import type { DeviceTraits, Dispatch, KernelSource, Operand, Program, TopKRequest } from '@pare/executor';
import { topkMerge, topkOrder, topkSort, topkTake } from './kernels.gen.js';
import { launches } from './launch.js';
import { kernel, uniformWords } from './shader.js';
import { boxes, windowOf, type Reach } from './windows.js';

/** Entries that a workgroup sorts in its memory. */
const pieceSize = 2048;
/** Most entries that a round keeps of a piece, so that it leaves half at most. */
const mostKept = pieceSize / 2;
const entryBytes = 8;
const kinds: Readonly<Record<TopKRequest['type'], number>> = { float32: 0, int32: 1, uint32: 2 };

/**
 * The k first of each row in order; see `TopKRequest`. NaN comes first in either direction, zeros of both signs are equal. Rows are cut into pieces whose
 * winners meet again, round after round; for k above 1024 they are sorted as a whole. A row, as entries of 8 bytes, has to fit into a binding.
 * @throws RangeError when it does not
 */
export function topK({ rows, columns, k, largest, type }: TopKRequest, traits: DeviceTraits): Program {
  if (rows === 0 || k === 0) return { temporaries: [], dispatches: [] };
  const whole = columns > pieceSize && k > mostKept;
  const padded = powerOfTwo(columns);
  const pieces = Math.ceil(columns / pieceSize);
  const kept = Math.min(k, columns);
  const entriesOfRow = whole ? padded : pieces * kept;
  const reach = (buffer: string, access: 'read' | 'write', bytes: number): Reach => ({ buffer, access, elementBytes: bytes, strides: { row: bytes } });
  const x = reach('x', 'read', 4 * columns);
  const values = reach('values', 'write', 4 * k);
  const indices = reach('indices', 'write', 4 * k);
  const parts = boxes({ row: { size: rows, multiple: 1 } }, [x, values, indices, reach('entries', 'write', entryBytes * entriesOfRow)], traits);
  const most = Math.max(...parts.map((box) => box.size['row']!));
  const order = [kinds[type], Number(!largest)];
  const dispatches: Dispatch[] = [];
  let second = false;
  for (const box of parts) {
    const count = box.size['row']!;
    const from = windowOf(x, box, traits);
    const scratch = (name: string, access: 'read' | 'write', length: number): Operand => ({ buffer: name, access, offset: 0, size: count * length * entryBytes });
    const launch = (source: KernelSource, operands: readonly Operand[], groups: number, words: readonly number[]): void => {
      for (const { first, workgroups } of launches(groups, traits)) {
        dispatches.push({ kernel: source, operands, uniforms: uniformWords([first, groups, ...words]), workgroups });
      }
    };
    let winners = 'entries';
    let length = columns;
    if (whole) {
      const fill = kernel('topk-fill', topkMerge, { FILL: true }, [topkOrder]);
      const compare = kernel('topk-compare', topkMerge, { FILL: false });
      const entries = scratch(winners, 'write', padded);
      launch(fill, [from.operand, entries], Math.ceil((count * padded) / 256), [count * padded, columns, from.base / 4, columns, padded, 0, 0, ...order]);
      for (let run = 2; run <= padded; run *= 2) {
        for (let distance = run / 2; distance > 0; distance /= 2) {
          const pairs = (count * padded) / 2;
          launch(compare, [entries], Math.ceil(pairs / 256), [pairs, 0, 0, 0, padded, distance, run, 0, 0]);
        }
      }
      length = padded;
    } else {
      for (let round = 0; round === 0 || length > kept; round++) {
        const size = Math.min(pieceSize, powerOfTwo(length));
        const cut = Math.ceil(length / size);
        const source = kernel(round === 0 ? 'topk-sort' : 'topk-sort-again', topkSort, { FROM_X: round === 0 }, [topkOrder]);
        const next = round === 0 ? 'entries' : winners === 'entries' ? 'others' : 'entries';
        second ||= next === 'others';
        const input = round === 0 ? from.operand : scratch(winners, 'read', length);
        launch(source, [input, scratch(next, 'write', cut * kept)], count * cut, [cut, length, round === 0 ? from.base / 4 : 0, length, size, kept, ...order]);
        winners = next;
        length = cut * kept;
      }
    }
    const [toValues, toIndices] = [windowOf(values, box, traits), windowOf(indices, box, traits)];
    launch(
      kernel('topk-take', topkTake),
      [from.operand, scratch(winners, 'read', length), toValues.operand, toIndices.operand],
      Math.ceil((count * k) / 256),
      [count * k, k, length, from.base / 4, columns, toValues.base / 4, toIndices.base / 4],
    );
  }
  const temporaries = [{ name: 'entries', bytes: most * entriesOfRow * entryBytes }];
  if (second) temporaries.push({ name: 'others', bytes: most * Math.ceil((pieces * kept) / pieceSize) * kept * entryBytes });
  return { temporaries, dispatches };
}

function powerOfTwo(count: number): number {
  return 2 ** Math.ceil(Math.log2(Math.max(2, count)));
}
