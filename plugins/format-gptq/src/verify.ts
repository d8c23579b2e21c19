import type { FormatContext, ModuleInfo, VerificationResult, WrittenFile } from '@pare/core';
import { fieldsOf, numbersOf, verifyFolder, type FolderReading, type ReadMatrix } from '@pare/hf-folder';
import type { GptqFormatOptions } from './options.js';

/** Reads the folder back by its configuration, with code of its own. @throws PARE_VERIFICATION_FAILED */
export function verify(context: FormatContext<GptqFormatOptions>, files: readonly WrittenFile[]): Promise<VerificationResult> {
  return verifyFolder(context, files, { holds: (reading, { name }) => reading.has(`${name}.qweight`), read: readMatrix });
}

/** What a configuration states for a module, its exceptions included. */
interface StatedScheme {
  readonly bits: number;
  readonly groupSize: number;
  readonly symmetric: boolean;
  /** What is added to a stored zero point. */
  readonly offset: number;
}

async function readMatrix(reading: FolderReading, info: ModuleInfo): Promise<ReadMatrix> {
  const [rows, columns] = info.shape;
  const named = (part: string): string => `${info.name}.${part}`;
  const scheme = statedScheme(reading.config, info.name);
  if (scheme === undefined) return reading.fail(named('qweight'), 'is not covered by quantization_config');
  const { bits, groupSize, offset } = scheme;
  const groups = groupSize === -1 ? 1 : Math.ceil(columns / groupSize);
  const open = async (part: string, ...shape: number[]) => {
    const raw = reading.take(named(part));
    if (raw.shape.join() !== shape.join()) reading.fail(named(part), `has shape [${raw.shape.join(', ')}], a reader wants [${shape.join(', ')}]`);
    return { dtype: raw.dtype, view: await raw.read() };
  };
  const codes = await open('qweight', (columns * bits) / 32, rows);
  const zeros = await open('qzeros', groups, (rows * bits) / 32);
  const scales = await open('scales', groups, rows);
  const index = await open('g_idx', columns);
  const scaleAt = numbersOf(scales.view, scales.dtype);
  const zeroAt = fieldsOf(zeros.view, bits);
  const zeroOf = (row: number, group: number): number => zeroAt((group * rows + row) * bits) + offset;
  if (scheme.symmetric && zeroOf(0, 0) !== 2 ** (bits - 1)) reading.fail(named('qzeros'), 'is not symmetric, as quantization_config states it');
  return {
    codes: { tensor: named('qweight'), at: (row, column) => fieldDown(codes.view, rows, row, column * bits, bits) },
    scales: { tensor: named('scales'), dtype: scales.dtype, groups, at: (row, group) => scaleAt(group * rows + row) },
    zeros: { tensor: named('qzeros'), at: zeroOf },
    index: { tensor: named('g_idx'), at: numbersOf(index.view, index.dtype) },
  };
}

/** A field that begins at some bit of an output's words, which lie below each other: [words, outputs]. Read a bit at a time, so that it may span two words. */
function fieldDown(view: DataView, outputs: number, output: number, start: number, bits: number): number {
  let value = 0;
  for (let bit = 0; bit < bits; bit++) {
    const position = start + bit;
    const byte = view.getUint8(4 * (Math.floor(position / 32) * outputs + output) + Math.floor((position % 32) / 8));
    value += (Math.floor(byte / 2 ** (position % 8)) % 2) * 2 ** bit;
  }
  return value;
}

function statedScheme(config: Readonly<Record<string, unknown>>, module: string): StatedScheme | undefined {
  interface Stated {
    bits: number;
    group_size: number;
    sym: boolean;
    checkpoint_format: string;
    dynamic?: Record<string, { bits?: number; group_size?: number }>;
  }
  const stated = config['quantization_config'] as Stated | undefined;
  if (stated === undefined) return undefined;
  const exception = Object.entries(stated.dynamic ?? {}).find(([key]) => new RegExp(key.slice(2)).test(module));
  if (exception?.[0].startsWith('-:') === true) return undefined;
  const { bits = stated.bits, group_size: groupSize = stated.group_size } = exception?.[1] ?? {};
  return { bits, groupSize, symmetric: stated.sym, offset: stated.checkpoint_format === 'gptq' ? 1 : 0 };
}
