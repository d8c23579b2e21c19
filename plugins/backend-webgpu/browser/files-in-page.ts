/* The little of node:fs and Buffer that the suite's fixtures are read with, over files that the page fetched. */

class PageBuffer extends Uint8Array<ArrayBuffer> {
  readBigUInt64LE(offset = 0): bigint {
    return new DataView(this.buffer, this.byteOffset).getBigUint64(offset, true);
  }

  override toString(_encoding?: string, start = 0, end = this.length): string {
    return new TextDecoder().decode(this.subarray(start, end));
  }
}

const files = new Map<string, PageBuffer>();

/** Makes a file known by its name. */
export function provideFile(name: string, bytes: ArrayBuffer): void {
  files.set(name, new PageBuffer(bytes));
}

export function readFileSync(url: URL, encoding?: string): PageBuffer | string {
  const file = files.get(url.pathname.split('/').at(-1)!);
  if (file === undefined) throw new Error(`the page has no file ${url.pathname}`);
  return encoding === undefined ? file : file.toString();
}

/** `Buffer.from(text, 'base64')`. */
export const Buffer = {
  from: (text: string): Uint8Array => Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0)),
};
