const texts: Readonly<Record<string, string>> = {
  ENOENT: 'no such file or folder',
  EEXIST: 'it exists already',
  ENOTDIR: 'a part of the path is no folder',
  EISDIR: 'it is a folder',
  ENOTEMPTY: 'it is not empty',
  EBUSY: 'it is in use',
  EROFS: 'it cannot be written to',
  ENOSPC: 'no space left',
  EXDEV: 'the two lie in different places',
  EACCES: 'permission denied',
  EIO: 'it cannot be read',
};

/** A failure of a file system that is not the system's own, with the code that Node's would have. */
export class FileSystemError extends Error {
  override readonly name = 'FileSystemError';
  readonly code: string;
  readonly path: string;

  constructor(code: string, path: string, cause?: unknown) {
    super(`${code}: ${texts[code] ?? 'failed'}, '${path}'`, cause === undefined ? {} : { cause });
    this.code = code;
    this.path = path;
  }
}
