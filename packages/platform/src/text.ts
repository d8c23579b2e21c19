/** Bytes as text; a byte order mark stays, as `fs.readFile` leaves it. */
export function decodeText(bytes: Uint8Array): string {
  return new TextDecoder('utf-8', { ignoreBOM: true }).decode(bytes);
}

/** Bytes that are read or copied at once where a file is taken piece by piece. */
export const pieceBytes = 1 << 20;
