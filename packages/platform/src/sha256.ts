import { createSha256 } from '#system';

/** SHA-256 of a text, in UTF-8, or of bytes that are at hand; hexadecimal. */
export function sha256(data: string | Uint8Array): string {
  const hash = createSha256();
  hash.update(typeof data === 'string' ? new TextEncoder().encode(data) : data);
  return hash.hex();
}
