import type { FormatContext, ModuleInfo, VerificationResult, WrittenFile } from '@pare/core';
import { numbersOf, verifyFolder, type ElementReader, type FolderReading, type ReadMatrix } from '@pare/hf-folder';
import type { AwqFormatOptions } from './options.js';

/** Reads the folder back by its configuration, with code of its own. @throws PARE_VERIFICATION_FAILED */
export function verify(context: FormatContext<AwqFormatOptions>, files: readonly WrittenFile[]): Promise<VerificationResult> {
  return verifyFolder(context, files, { holds: (reading, { name }) => reading.has(`${name}.qweight`), read: readMatrix });
}

/** Bit at which the field of each of eight neighbouring outputs begins in its word. */
const firstBits = [0, 16, 4, 20, 8, 24, 12, 28] as const;

async function readMatrix(reading: FolderReading, info: ModuleInfo): Promise<ReadMatrix> {
  const [rows, columns] = info.shape;
  const named = (part: string): string => `${info.name}.${part}`;
  const stated = reading.config['quantization_config'] as { bits: number; group_size: number; modules_to_not_convert: string[] } | undefined;
  if (stated?.bits !== 4 || stated.modules_to_not_convert.some((name) => info.name.includes(name))) return reading.fail(named('qweight'), 'is not covered by quantization_config');
  const groups = stated.group_size === -1 ? 1 : Math.ceil(columns / stated.group_size);
  const open = async (part: string, ...shape: number[]) => {
    const raw = reading.take(named(part));
    if (raw.shape.join() !== shape.join()) reading.fail(named(part), `has shape [${raw.shape.join(', ')}], a reader wants [${shape.join(', ')}]`);
    return { dtype: raw.dtype, view: await raw.read() };
  };
  const codes = fieldsAcross((await open('qweight', columns, rows / 8)).view);
  const zeros = fieldsAcross((await open('qzeros', groups, rows / 8)).view);
  const scales = await open('scales', groups, rows);
  const scaleAt = numbersOf(scales.view, scales.dtype);
  return {
    codes: { tensor: named('qweight'), at: (row, column) => codes(column * rows + row) },
    scales: { tensor: named('scales'), dtype: scales.dtype, groups, at: (row, group) => scaleAt(group * rows + row) },
    zeros: { tensor: named('qzeros'), at: (row, group) => zeros(group * rows + row) },
  };
}

/** Fields along the outputs, eight to a word. */
function fieldsAcross(view: DataView): ElementReader {
  return (index) => Math.floor(view.getUint32(4 * Math.floor(index / 8), true) / 2 ** firstBits[index % 8]!) % 16;
}
