/** The parts of the browser's interfaces that are used here; all may be absent. */
export interface Web {
  readonly navigator?: {
    readonly locks?: {
      request(name: string, held: () => Promise<unknown>): Promise<unknown>;
      query(): Promise<{ readonly held?: readonly { readonly name?: string }[] }>;
    };
    readonly storage?: {
      getDirectory?(): Promise<DirectoryHandle>;
      estimate?(): Promise<{ readonly quota?: number; readonly usage?: number }>;
    };
  };
  readonly performance?: { readonly memory?: { readonly usedJSHeapSize: number } };
  readonly FileSystemFileHandle?: { readonly prototype: object };
}

/** A folder of the origin private file system. */
export interface DirectoryHandle {
  readonly kind: 'directory';
  readonly name: string;
  getDirectoryHandle(name: string, options?: { readonly create?: boolean }): Promise<DirectoryHandle>;
  getFileHandle(name: string, options?: { readonly create?: boolean }): Promise<StorageFileHandle>;
  removeEntry(name: string, options?: { readonly recursive?: boolean }): Promise<void>;
  values(): AsyncIterable<DirectoryHandle | StorageFileHandle>;
}

/** A file of the origin private file system. */
export interface StorageFileHandle {
  readonly kind: 'file';
  readonly name: string;
  getFile(): Promise<Blob & { readonly lastModified: number }>;
  createSyncAccessHandle(): Promise<SyncAccessHandle>;
  /** Missing in some browsers. */
  move?(folder: DirectoryHandle, name: string): Promise<void>;
}

/** Exclusive access to a file from a worker. */
export interface SyncAccessHandle {
  read(target: Uint8Array, options: { readonly at: number }): number;
  write(data: Uint8Array, options: { readonly at: number }): number;
  truncate(size: number): void;
  flush(): void;
  close(): void;
}

export const web = globalThis as unknown as Web;
