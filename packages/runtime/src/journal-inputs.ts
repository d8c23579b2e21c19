import type { Recipe } from '@pare/core';
import type { ModelFile } from '@pare/model';
import { createSha256 } from '@pare/platform';

/** Everything that the results of a run follow from. Two runs with equal inputs give equal bytes. */
export interface JournalInputs {
  readonly recipe: Recipe;
  readonly model: readonly ModelFile[];
  readonly calibration: { readonly text: string; readonly tokens: string; readonly samples: number; readonly sequenceLength: number } | null;
  readonly prompts?: string;
  readonly seed: number;
  readonly backend: string;
  /** `technique gptq` → `@pare/technique-gptq 0.1.0`, with a hash of the code where the application did not bring it along. */
  readonly plugins: Readonly<Record<string, string>>;
}

/** SHA-256 of token windows. */
export function hashWindows(windows: readonly Int32Array[]): string {
  const hash = createSha256();
  for (const window of windows) hash.update(new Uint8Array(window.buffer, window.byteOffset, window.byteLength));
  return hash.hex();
}

/** Where two JSON values differ: `seed was 0, is 1`. At most `limit` places. */
export function differences(before: unknown, now: unknown, path = '', limit = 5): string[] {
  if (Object.is(before, now)) return [];
  if (typeof before === 'object' && typeof now === 'object' && before !== null && now !== null) {
    const keys = [...new Set([...Object.keys(before), ...Object.keys(now)])];
    const found = keys.flatMap((key) =>
      differences(
        (before as Record<string, unknown>)[key],
        (now as Record<string, unknown>)[key],
        Array.isArray(now) ? `${path}[${key}]` : path === '' ? key : `${path}.${key}`,
        limit,
      ),
    );
    return found.slice(0, limit);
  }
  const show = (value: unknown): string => {
    if (value === undefined) return 'absent';
    const text = JSON.stringify(value);
    // Names and what tells them apart: versions and hashes stand at the end.
    return text.length > 40 ? `${text.slice(0, 19)}…${text.slice(-18)}` : text;
  };
  return [`${path} was ${show(before)}, is ${show(now)}`];
}
