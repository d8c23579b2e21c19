import { pareError, type ModuleInfo, type QuantizedWeight } from '@pare/core';
import { groupedScales, groupedZeros, type StoredPart } from '@pare/hf-folder';
import { groupsPerRow, largestCode, packedCodes, packRows, transposeArray, wordsPerRow } from '@pare/weights';
import { layoutProblem } from './refuse.js';

/** Version 1 (`gptq`) stores zero points minus one, version 2 (`gptq_v2`) as they are. */
export type CheckpointVersion = 1 | 2;

/**
 * The tensors of a quantized matrix [out, in] as GPTQ's readers know them: `qweight` int32 [in·bits/32, out], a stream of fields down the inputs of each output, lowest
 * bits first; `qzeros` int32 [G, out·bits/32], such a stream along the outputs; `scales` [G, out]; `g_idx` int32 [in].
 * @throws PARE_FORM_UNSUPPORTED
 */
export function matrixParts(form: QuantizedWeight, info: ModuleInfo, version: CheckpointVersion, scales: 'float16' | 'held'): readonly StoredPart[] {
  const [rows, columns] = form.shape;
  const { scheme, groupIndex } = form;
  const { bits } = scheme;
  const unsupported = (found: string, allowed: string): Error => pareError('PARE_FORM_UNSUPPORTED', { operation: `writing ${info.name} in GPTQ's layout`, found, allowed });
  const problem = layoutProblem(info, { bits, groupSize: scheme.granularity === 'group' ? scheme.groupSize : -1, numbers: scheme.numbers, input: form.input });
  if (problem !== undefined) throw unsupported(problem.reason, problem.help);
  if (version === 1 && form.zeros?.includes(0) === true) throw unsupported('a zero point of 0', 'version 2, which stores zero points as they are');
  const groups = groupsPerRow(scheme, columns);
  const words = wordsPerRow(columns, bits);
  return [
    { part: 'qweight', dtype: 'int32', shape: [words, rows], data: () => transposeArray(packedCodes(form), rows, words) },
    {
      part: 'qzeros',
      dtype: 'int32',
      shape: [groups, wordsPerRow(rows, bits)],
      data() {
        const zeros = groupedZeros(form);
        return packRows(version === 1 ? zeros.map((zero) => (zero - 1) & largestCode(bits)) : zeros, [groups, rows], bits);
      },
    },
    groupedScales(form, scales),
    { part: 'g_idx', dtype: 'int32', shape: [columns], data: () => groupIndex ?? Int32Array.from({ length: columns }, (_, column) => Math.floor(column / scheme.groupSize)) },
  ];
}
