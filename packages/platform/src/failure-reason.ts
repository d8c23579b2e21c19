/** What went wrong in a failed request: `fetch` hides the reason in its error's cause, or in the first of several. */
export function failureReason(error: unknown): string {
  const cause = (error as { cause?: unknown } | null)?.cause ?? error;
  const first = cause instanceof AggregateError ? (cause.errors[0] as unknown) : cause;
  return first instanceof Error ? first.message : String(first);
}
