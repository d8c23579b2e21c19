/** Words of 32 bits that a row of `columns` codes occupies. */
export function wordsPerRow(columns: number, bits: number): number {
  return Math.ceil((columns * bits) / 32);
}

/**
 * Packs codes [rows, columns] into int32 words [rows, ceil(columns·bits/32)]: each row is a little-endian stream of `bits`-wide fields, the
 * first column in the lowest bits, fields crossing word borders, the last word padded with zero bits. For 2, 4 and 8 bits this is the layout
 * of compressed-tensors' `pack-quantized` and, transposed, of GPTQ's `qweight`; for 3, 5, 6 and 7 the dense stream.
 */
export function packRows(codes: Uint8Array, shape: readonly [number, number], bits: number): Int32Array {
  const [rows, columns] = shape;
  if (bits === 4 && columns % 8 === 0 && codes.byteOffset % 4 === 0) return packNibbles(new Uint32Array(codes.buffer, codes.byteOffset, codes.length / 4));
  const width = wordsPerRow(columns, bits);
  const words = new Int32Array(rows * width);
  for (let row = 0; row < rows; row++) {
    let word = row * width;
    let filled = 0;
    let pending = 0;
    for (let column = 0, index = row * columns; column < columns; column++, index++) {
      const code = codes[index]!;
      pending |= code << filled;
      filled += bits;
      if (filled >= 32) {
        words[word++] = pending;
        filled -= 32;
        // What did not fit of the code; a shift by 32 would leave it whole.
        pending = filled === 0 ? 0 : code >>> (bits - filled);
      }
    }
    if (filled > 0) words[word] = pending;
  }
  return words;
}

/** Codes of 4 bits whose rows are whole words, eight at a time: `bytes` holds four codes an entry. */
function packNibbles(bytes: Uint32Array): Int32Array {
  const words = new Int32Array(bytes.length / 2);
  for (let word = 0, index = 0; word < words.length; word++, index += 2) {
    const low = bytes[index]!;
    const high = bytes[index + 1]!;
    const lowPairs = (low | (low >>> 4)) & 0x00ff00ff;
    const highPairs = (high | (high >>> 4)) & 0x00ff00ff;
    words[word] = ((lowPairs | (lowPairs >>> 8)) & 0xffff) | ((highPairs | (highPairs >>> 8)) << 16);
  }
  return words;
}

/** @param codes eight for each word, beginning at a whole word of memory */
function unpackNibbles(words: Int32Array, codes: Uint8Array): void {
  const bytes = new Uint32Array(codes.buffer, codes.byteOffset, words.length * 2);
  const spread = (half: number): number => {
    const pairs = (half | (half << 8)) & 0x00ff00ff;
    return (pairs | (pairs << 4)) & 0x0f0f0f0f;
  };
  for (let word = 0; word < words.length; word++) {
    bytes[2 * word] = spread(words[word]! & 0xffff);
    bytes[2 * word + 1] = spread(words[word]! >>> 16);
  }
}

/** The codes [rows, columns] of words that `packRows` made. @param codes where they go, an array of their own by default */
export function unpackRows(words: Int32Array, shape: readonly [number, number], bits: number, codes: Uint8Array = new Uint8Array(shape[0] * shape[1])): Uint8Array {
  const [rows, columns] = shape;
  if (bits === 4 && columns % 8 === 0 && codes.byteOffset % 4 === 0) {
    unpackNibbles(words, codes);
    return codes;
  }
  const width = wordsPerRow(columns, bits);
  const mask = 2 ** bits - 1;
  for (let row = 0; row < rows; row++) {
    for (let column = 0, index = row * columns, bit = 0; column < columns; column++, index++, bit += bits) {
      const word = row * width + (bit >>> 5);
      const shift = bit & 31;
      let value = words[word]! >>> shift;
      if (shift + bits > 32) value |= words[word + 1]! << (32 - shift);
      codes[index] = value & mask;
    }
  }
  return codes;
}
