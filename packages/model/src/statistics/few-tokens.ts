/** What a report says of a module that too few calibration tokens reached. */
export function fewTokens(tokens: number, minimumTokens: number, instead: string): string {
  if (tokens === 0) return `no calibration token reached it; ${instead}`;
  return `only ${String(tokens)} calibration tokens reached it, minimumTokens is ${String(minimumTokens)}; ${instead}`;
}
