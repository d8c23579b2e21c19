/** JSON in which numbers of all kinds come back as they were: NaN, infinities and −0, which plain JSON loses, are written as `{ "$number": "NaN" }`. */
export function exactJson(value: unknown): string {
  return JSON.stringify(value, (_, entry: unknown) =>
    typeof entry === 'number' && (!Number.isFinite(entry) || Object.is(entry, -0)) ? { $number: Object.is(entry, -0) ? '-0' : String(entry) } : entry,
  );
}

/** @throws SyntaxError */
export function parseExactJson(text: string): unknown {
  return JSON.parse(text, (_, entry: unknown) => (typeof entry === 'object' && entry !== null && '$number' in entry ? Number(entry.$number) : entry));
}
