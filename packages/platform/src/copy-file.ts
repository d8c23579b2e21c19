import type { FileSystem } from '@pare/core';

/** A path and the files it is among. */
export interface FilePlace {
  readonly files: FileSystem;
  readonly path: string;
}

/** Copies a file to a place that may lie in another file system, piece by piece then. */
export async function copyFile(from: FilePlace, to: FilePlace): Promise<void> {
  if (from.files === to.files) {
    await from.files.copy(from.path, to.path);
    return;
  }
  await using target = await to.files.create(to.path);
  let position = 0;
  for await (const piece of from.files.chunks(from.path)) {
    await target.write(piece, position);
    position += piece.length;
  }
}
