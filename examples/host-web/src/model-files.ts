/** A folder of files that was picked, dropped or fetched. */
export interface PickedFolder {
  readonly name: string;
  /** Path inside the folder, from `/`, and content. */
  readonly files: readonly (readonly [path: string, content: Blob])[];
}

/** The folder of a directory input. Paths there begin with the folder's own name. */
export function folderOfInput(list: FileList): PickedFolder {
  const files = [...list];
  const name = files[0]?.webkitRelativePath.split('/')[0] ?? '';
  return { name: name === '' ? 'model' : name, files: files.map((file) => [`/${file.webkitRelativePath.split('/').slice(1).join('/') || file.name}`, file]) };
}

/** The folder of a drop: one folder, or loose files. Must be called while the event is handled. */
export async function folderOfDrop(transfer: DataTransfer): Promise<PickedFolder> {
  const entries = [...transfer.items].flatMap((item) => item.webkitGetAsEntry() ?? []);
  if (entries.length === 0) return { name: 'model', files: [...transfer.files].map((file) => [`/${file.name}`, file]) };
  const only = entries.length === 1 && entries[0]!.isDirectory ? (entries[0] as FileSystemDirectoryEntry) : undefined;
  const files: (readonly [string, Blob])[] = [];
  const visit = async (entry: FileSystemEntry, path: string): Promise<void> => {
    if (entry.isFile) files.push([path, await fileOf(entry as FileSystemFileEntry)]);
    else for (const child of await childrenOf(entry as FileSystemDirectoryEntry)) await visit(child, `${path}/${child.name}`);
  };
  if (only === undefined) for (const entry of entries) await visit(entry, `/${entry.name}`);
  else await visit(only, '');
  return { name: only?.name ?? 'model', files };
}

function fileOf(entry: FileSystemFileEntry): Promise<File> {
  return new Promise((resolve, reject) => {
    entry.file(resolve, reject);
  });
}

/** A reader gives at most a hundred entries at once. */
async function childrenOf(folder: FileSystemDirectoryEntry): Promise<FileSystemEntry[]> {
  const reader = folder.createReader();
  const all: FileSystemEntry[] = [];
  for (;;) {
    const some = await new Promise<FileSystemEntry[]>((resolve, reject) => {
      reader.readEntries(resolve, reject);
    });
    if (some.length === 0) return all;
    all.push(...some);
  }
}

const bundledFiles = ['config.json', 'generation_config.json', 'model.safetensors', 'special_tokens_map.json', 'tokenizer.json', 'tokenizer_config.json'];

/** The small model that comes with the page. */
export async function bundledModel(): Promise<PickedFolder> {
  const files = await Promise.all(
    bundledFiles.map(async (name): Promise<readonly [string, Blob]> => {
      const response = await fetch(new URL(`models/tales-7m/${name}`, document.baseURI));
      if (!response.ok) throw new Error(`${name} of the bundled model cannot be fetched: status ${String(response.status)}`);
      return [`/${name}`, await response.blob()];
    }),
  );
  return { name: 'tales-7m', files };
}
