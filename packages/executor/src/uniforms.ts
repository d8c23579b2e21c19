/** A float among the words of a uniform buffer. */
export interface Float {
  readonly float: number;
}

/** A uniform buffer of 32-bit words: unsigned integers as they are, floats wrapped; padded to 16 bytes. */
export function uniformWords(values: readonly (number | Float)[]): Uint32Array {
  const words = new Uint32Array(Math.ceil(values.length / 4) * 4);
  const floats = new Float32Array(words.buffer);
  for (const [index, value] of values.entries()) {
    if (typeof value === 'number') words[index] = value;
    else floats[index] = value.float;
  }
  return words;
}
