/** Something that a plugin does and should not, as advice to its author. */
export interface Finding {
  /** The fault in one sentence: `technique mine leaks: 2 device tensors are still alive after apply`. */
  readonly fault: string;
  readonly expected: string;
  readonly found: string;
  /** What to change, or where to look. */
  readonly advice: string;
}

/** A finding as a failed test shows it. */
export function describeFinding({ fault, expected, found, advice }: Finding): string {
  return `${fault}\n  expected: ${expected}\n  found:    ${found}\n  advice:   ${advice}`;
}

/** What was thrown, in one line. */
export function describeThrown(thrown: unknown): string {
  if (!(thrown instanceof Error)) return String(thrown);
  const code = 'code' in thrown && typeof thrown.code === 'string' ? `${thrown.code}: ` : '';
  return `${code}${thrown.message}`;
}
