/**
 * ROUGE-L: F1 of the longest common subsequence of words (Lin, 2004), from 0 to 1. Words are what white space separates, letters without case.
 */
export function rougeL(left: string, right: string): number {
  const [a, b] = [words(left), words(right)];
  if (a.length === 0 || b.length === 0) return a.length === b.length ? 1 : 0;
  let row = new Uint32Array(b.length + 1);
  for (const word of a) {
    const next = new Uint32Array(b.length + 1);
    for (let column = 1; column <= b.length; column++) next[column] = word === b[column - 1] ? row[column - 1]! + 1 : Math.max(row[column]!, next[column - 1]!);
    row = next;
  }
  return (2 * row[b.length]!) / (a.length + b.length);
}

function words(text: string): string[] {
  return text.toLowerCase().split(/\s+/).filter(Boolean);
}
