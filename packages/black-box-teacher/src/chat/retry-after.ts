/** Seconds that a `Retry-After` header asks for: a number of seconds, or a date (RFC 9110, §10.2.3). Undefined without one that can be read. @param now milliseconds since 1970 */
export function retryAfterSeconds(header: string | null, now: number = Date.now()): number | undefined {
  if (header === null || header.trim() === '') return undefined;
  const seconds = Number(header);
  if (Number.isFinite(seconds)) return Math.max(0, seconds);
  const date = Date.parse(header);
  return Number.isNaN(date) ? undefined : Math.max(0, (date - now) / 1000);
}
