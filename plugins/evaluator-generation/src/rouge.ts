/**
 * ROUGE-L of a text against a reference (Lin, 2004, §3.1): with LCS the length of the longest common subsequence of their words, precision LCS / words of the text, recall
 * LCS / words of the reference, and F₁ their harmonic mean. Words are runs of letters and digits in lower case; nothing is stemmed.
 */
export function rougeL(text: string, reference: string): number {
  const [left, right] = [wordsOf(text), wordsOf(reference)];
  const common = commonSubsequence(left, right);
  // 2PR / (P + R) with P = c/m and R = c/n.
  return common === 0 ? 0 : (2 * common) / (left.length + right.length);
}

function wordsOf(text: string): string[] {
  return text.toLowerCase().match(/[\p{L}\p{N}]+/gu) ?? [];
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
