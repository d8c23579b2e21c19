import { pareError } from '@pare/core';
import { formatBytes } from './bytes.js';

/** A whole number of at least `minimum`, as typed after `option`. @throws PARE_COMMAND_INVALID */
export function parseInteger(text: string, option: string, minimum: number): number {
  const value = /^[+-]?\d+$/.test(text.trim()) ? Number(text) : Number.NaN;
  if (!Number.isSafeInteger(value) || value < minimum) {
    throw pareError('PARE_COMMAND_INVALID', { problem: `${option} got "${text}"`, help: `Give a whole number, ${String(minimum)} or more.` });
  }
  return value;
}

/** Seconds for people: `0.8 s`, `42 s`, `3:07`, `1:02:09`. */
export function formatSeconds(seconds: number): string {
  if (!Number.isFinite(seconds)) return '?';
  if (seconds < 10) return `${seconds.toFixed(1)} s`;
  const whole = Math.round(seconds);
  if (whole < 60) return `${String(whole)} s`;
  const two = (value: number): string => String(value).padStart(2, '0');
  const minutes = Math.floor(whole / 60);
  return minutes < 60 ? `${String(minutes)}:${two(whole % 60)}` : `${String(Math.floor(minutes / 60))}:${two(minutes % 60)}:${two(whole % 60)}`;
}

/** A count for people: `7,344,384`. */
export function formatCount(value: number): string {
  return Math.round(value).toLocaleString('en-US');
}

/** A metric by its plain name, in the unit that people think of it in. */
export function formatNamedMetric(name: string, value: number): string {
  switch (name) {
    case 'bytes':
    case 'peakMemoryBytes':
    case 'weightBytes':
    case 'keyValueBytesPerToken':
      return formatBytes(value);
    case 'bitsPerWeight':
      return value.toFixed(3);
    case 'compressionRatio':
      return `${value.toFixed(2)} ×`;
    default:
      return formatMetric(value);
  }
}

/** A measured value with four significant digits, never in exponent notation unless it is tiny or huge. */
export function formatMetric(value: number): string {
  if (Number.isInteger(value) && Math.abs(value) < 1e15) return formatCount(value);
  const magnitude = Math.abs(value);
  if (magnitude !== 0 && (magnitude < 1e-3 || magnitude >= 1e9)) return value.toExponential(3);
  return magnitude >= 1000 ? value.toFixed(1) : value.toPrecision(4);
}
