/** Output of each of the eight fields of a word in AWQ's GEMM layout, lowest bits first (Lin et al., arXiv 2306.00978; AutoAWQ's `AWQ_ORDER`). */
const order = [0, 2, 4, 6, 1, 3, 5, 7] as const;

/** Rows of values, whose length is a multiple of 8, with every eight in the order of AWQ's fields. */
export function toAwqOrder(values: Uint8Array): Uint8Array {
  const ordered = new Uint8Array(values.length);
  for (let start = 0; start < values.length; start += 8) for (let field = 0; field < 8; field++) ordered[start + field] = values[start + order[field]!]!;
  return ordered;
}

/** The opposite of `toAwqOrder`. */
export function fromAwqOrder(values: Uint8Array): Uint8Array {
  const plain = new Uint8Array(values.length);
  for (let start = 0; start < values.length; start += 8) for (let field = 0; field < 8; field++) plain[start + order[field]!] = values[start + field]!;
  return plain;
}
