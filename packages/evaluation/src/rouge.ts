/**
 * F₁ of the longest common subsequence of two texts' words, ROUGE-L (Lin, 2004, §3.1): with LCS its length, precision LCS / words of the text, recall LCS / words of the reference, and
 * their harmonic mean. What a word is, is the caller's to say. 0 where nothing is common.
 */
export function rougeOfWords(text: readonly string[], reference: readonly string[]): number {
  const common = commonSubsequence(text, reference);
  // 2PR / (P + R) with P = c/m and R = c/n.
  return common === 0 ? 0 : (2 * common) / (text.length + reference.length);
}

/** Length of the longest common subsequence, row by row. */
function commonSubsequence(left: readonly string[], right: readonly string[]): number {
  let previous = new Uint32Array(right.length + 1);
  for (const word of left) {
    const row = new Uint32Array(right.length + 1);
    for (const [index, other] of right.entries()) row[index + 1] = word === other ? previous[index]! + 1 : Math.max(previous[index + 1]!, row[index]!);
    previous = row;
  }
  return previous[right.length]!;
}
