import { pareError } from '@pare/core';

/** Factors of the accepted units. Decimal units are powers of 1000, binary ones (`KiB`, and the bare letters that people mean by them) of 1024. */
const factors: Readonly<Record<string, number>> = {
  b: 1,
  kb: 1e3,
  mb: 1e6,
  gb: 1e9,
  tb: 1e12,
  k: 2 ** 10,
  m: 2 ** 20,
  g: 2 ** 30,
  t: 2 ** 40,
  kib: 2 ** 10,
  mib: 2 ** 20,
  gib: 2 ** 30,
  tib: 2 ** 40,
};

/**
 * Bytes of an amount with a unit: `8GiB`, `512 MiB`, `1.5G`, `900MB`.
 * @param option the option it was given to, for the message
 * @throws PARE_COMMAND_INVALID for a bare number, an unknown unit, zero, or anything else that is no amount
 */
export function parseBytes(text: string, option: string): number {
  const refuse = (problem: string): never => {
    throw pareError('PARE_COMMAND_INVALID', { problem: `${option} got "${text}": ${problem}`, help: `Write an amount with a unit, such as ${option} 8GiB, 512MiB or 1.5GB.` });
  };
  const match = /^\s*(\d+(?:\.\d+)?|\.\d+)\s*([a-z]*)\s*$/i.exec(text);
  if (match === null) return refuse('not an amount of memory');
  const unit = match[2]!.toLowerCase();
  if (unit === '') return refuse('the unit is missing');
  const factor = factors[unit];
  if (factor === undefined) return refuse(`"${match[2]!}" is not a unit of bytes`);
  const bytes = Math.floor(Number(match[1]) * factor);
  if (bytes < 1) return refuse('no memory at all');
  if (!Number.isSafeInteger(bytes)) return refuse('more than any machine has');
  return bytes;
}

/** An amount for people, in binary units with three digits: `734 MiB`, `1.02 GiB`. */
export function formatBytes(bytes: number): string {
  if (bytes < 1024) return `${String(Math.round(bytes))} B`;
  const units = ['KiB', 'MiB', 'GiB', 'TiB'];
  let value = bytes / 1024;
  let unit = 0;
  while (value >= 1000 && unit < units.length - 1) {
    value /= 1024;
    unit++;
  }
  return `${value.toFixed(value < 10 ? 2 : value < 100 ? 1 : 0)} ${units[unit]!}`;
}
