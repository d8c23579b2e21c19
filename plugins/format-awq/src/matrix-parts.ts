import { pareError, type ModuleInfo, type QuantizedWeight } from '@pare/core';
import { groupedScales, groupedZeros, type StoredPart } from '@pare/hf-folder';
import { groupsPerRow, packRows, toAwqOrder, transposeArray } from '@pare/weights';
import { layoutProblem } from './refuse.js';

/**
 * The tensors of a quantized matrix [out, in] in AWQ's GEMM layout: `qweight` int32 [in, out/8] and `qzeros` int32 [G, out/8], fields along the outputs, each eight of them in the
 * order 0 2 4 6 1 3 5 7; `scales` [G, out].
 * @throws PARE_FORM_UNSUPPORTED
 */
export function matrixParts(form: QuantizedWeight, info: ModuleInfo, scales: 'float16' | 'held'): readonly StoredPart[] {
  const [rows, columns] = form.shape;
  const { scheme, codes, groupIndex } = form;
  const unsupported = (found: string, allowed: string): Error => pareError('PARE_FORM_UNSUPPORTED', { operation: `writing ${info.name} in AWQ's layout`, found, allowed });
  const problem = layoutProblem(info, { bits: scheme.bits, groupSize: scheme.granularity === 'group' ? scheme.groupSize : -1, numbers: scheme.numbers, input: form.input });
  if (problem !== undefined) throw unsupported(problem.reason, problem.help);
  if (groupIndex !== undefined) throw unsupported('a group index', 'columns grouped as they stand');
  const groups = groupsPerRow(scheme, columns);
  const pack = (values: Uint8Array, height: number): Int32Array => packRows(toAwqOrder(values), [height, rows], 4);
  return [
    { part: 'qweight', dtype: 'int32', shape: [columns, rows / 8], data: () => pack(transposeArray(codes, rows, columns), columns) },
    { part: 'qzeros', dtype: 'int32', shape: [groups, rows / 8], data: () => pack(groupedZeros(form), groups) },
    groupedScales(form, scales),
  ];
}
