/** Consecutive windows of one length that are computed together. */
export interface WindowChunk {
  /** Index of the first window. */
  readonly first: number;
  readonly count: number;
  /** Tokens of each window. */
  readonly length: number;
}

/** Cuts windows into chunks of at most `tokens` tokens (at least one window) of equal length. */
export function chunkWindows(windows: readonly Int32Array[], tokens: number): WindowChunk[] {
  const chunks: WindowChunk[] = [];
  for (let first = 0; first < windows.length; ) {
    const { length } = windows[first]!;
    const most = Math.max(1, Math.floor(tokens / length));
    let count = 1;
    while (count < most && windows[first + count]?.length === length) count++;
    chunks.push({ first, count, length });
    first += count;
  }
  return chunks;
}
