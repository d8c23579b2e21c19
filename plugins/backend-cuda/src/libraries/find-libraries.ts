import { posix, win32 } from 'node:path';

/* Where CUDA's libraries may lie: folders that the user names, a CUDA toolkit, Python environments with NVIDIA's packages, and wherever the system looks. */

/** A library of CUDA that this backend uses. */
export type LibraryName = 'cuda' | 'nvrtc' | 'cublasLt';

/** What the search reads of the machine. */
export interface Machine {
  readonly platform: string;
  readonly environment: Readonly<Record<string, string | undefined>>;
  readonly home: string;
  /** Names in a folder; none when it cannot be read. */
  readonly list: (folder: string) => readonly string[];
}

export interface FoundLibrary {
  readonly path: string;
  /** Major version that its file name says; undefined where it says none. */
  readonly major: number | undefined;
}

export interface LibrarySearch {
  /** Candidates, best first. The last ones are bare names, which the system's loader resolves. */
  readonly candidates: readonly FoundLibrary[];
  /** Folders that were looked into, in order. */
  readonly folders: readonly string[];
}

/** What brings each library. */
export const remedies: Readonly<Record<LibraryName, string>> = {
  cuda: 'it comes with the NVIDIA driver',
  nvrtc: 'it comes with the CUDA toolkit, and with "pip install nvidia-cuda-nvrtc-cu12"',
  cublasLt: 'it comes with the CUDA toolkit, and with "pip install nvidia-cublas-cu12"',
};

const patterns: Readonly<Record<'linux' | 'win32', Readonly<Record<LibraryName, RegExp>>>> = {
  linux: { cuda: /^libcuda\.so\.(1)$/, nvrtc: /^libnvrtc\.so\.(\d+)(?:\.\d+)*$/, cublasLt: /^libcublasLt\.so\.(\d+)(?:\.\d+)*$/ },
  win32: { cuda: /^nvcuda\.dll$/i, nvrtc: /^nvrtc64_(\d+?)\d_0\.dll$/i, cublasLt: /^cublasLt64_(\d+)\.dll$/i },
};
const bareNames: Readonly<Record<'linux' | 'win32', Readonly<Record<LibraryName, readonly string[]>>>> = {
  linux: { cuda: ['libcuda.so.1'], nvrtc: ['libnvrtc.so.13', 'libnvrtc.so.12'], cublasLt: ['libcublasLt.so.13', 'libcublasLt.so.12'] },
  win32: { cuda: ['nvcuda.dll'], nvrtc: ['nvrtc64_130_0.dll', 'nvrtc64_120_0.dll'], cublasLt: ['cublasLt64_13.dll', 'cublasLt64_12.dll'] },
};

/**
 * Looks for a library. Among files of one folder the newest version comes first; the driver decides which one it can serve.
 * @param extra folders that the user names, looked into before all others
 */
export function findLibrary(name: LibraryName, machine: Machine, extra: readonly string[] = []): LibrarySearch {
  const system = machine.platform === 'win32' ? 'win32' : 'linux';
  const path = system === 'win32' ? win32 : posix;
  const folders = [...new Set(name === 'cuda' ? [...extra, ...driverFolders(system)] : [...extra, ...toolkitFolders(machine, path), ...pythonFolders(machine, path), ...systemFolders(machine, path)])];
  const candidates = folders.flatMap((folder) => {
    const found = machine.list(folder).flatMap((file): FoundLibrary[] => {
      const match = patterns[system][name].exec(file);
      return match === null ? [] : [{ path: path.join(folder, file), major: match[1] === undefined ? undefined : Number(match[1]) }];
    });
    // Of the names of one file (libnvrtc.so.12, libnvrtc.so.12.8.93) the shortest is the one that stays.
    return found.sort((a, b) => (b.major ?? 0) - (a.major ?? 0) || a.path.length - b.path.length).filter(({ major }, index, all) => index === 0 || all[index - 1]!.major !== major);
  });
  const bare = bareNames[system][name].map((file): FoundLibrary => {
    const major = patterns[system][name].exec(file)?.[1];
    return { path: file, major: major === undefined ? undefined : Number(major) };
  });
  return { candidates: [...candidates, ...bare], folders };
}

type Path = typeof posix;

function driverFolders(system: 'linux' | 'win32'): string[] {
  // Containers and virtual machines mount the driver where the loader does not look.
  return system === 'win32' ? [] : ['/usr/local/nvidia/lib64', '/usr/lib/wsl/lib'];
}

function toolkitFolders({ platform, environment, list }: Machine, path: Path): string[] {
  const roots = ['CUDA_HOME', 'CUDA_PATH', 'CUDA_ROOT'].flatMap((variable) => environment[variable] ?? []);
  const installed = platform === 'win32' ? [] : list('/usr/local').filter((name) => /^cuda(-[\d.]+)?$/.test(name)).sort().map((name) => path.join('/usr/local', name));
  return [...roots, ...installed].flatMap((root) => (platform === 'win32' ? [path.join(root, 'bin'), path.join(root, 'bin', 'x64')] : [path.join(root, 'lib64'), path.join(root, 'targets/x86_64-linux/lib')]));
}

/** Folders of NVIDIA's packages in the Python environments that the user works in. */
function pythonFolders({ platform, environment, home, list }: Machine, path: Path): string[] {
  const separator = platform === 'win32' ? ';' : ':';
  const active = ['VIRTUAL_ENV', 'CONDA_PREFIX'].flatMap((variable) => environment[variable] ?? []);
  const onPath = (environment['PATH'] ?? '')
    .split(separator)
    .filter((folder) => folder !== '' && list(folder).some((name) => /^python3?(\.exe)?$/.test(name)))
    .map((folder) => (/^(bin|scripts)$/i.test(path.basename(folder)) ? path.dirname(folder) : folder));
  const sites = (prefix: string): string[] => {
    if (platform === 'win32') return [path.join(prefix, 'Lib', 'site-packages')];
    const versions = list(path.join(prefix, 'lib')).filter((name) => /^python3(\.\d+)?$/.test(name));
    return versions.flatMap((version) => ['site-packages', 'dist-packages'].map((kind) => path.join(prefix, 'lib', version, kind)));
  };
  const prefixes = [...new Set([...active, ...onPath, path.join(home, '.local'), '/usr/local', '/usr'])];
  return prefixes.flatMap(sites).flatMap((site) => {
    const packages = path.join(site, 'nvidia');
    return list(packages).map((name) => path.join(packages, name, platform === 'win32' ? 'bin' : 'lib'));
  });
}

function systemFolders({ platform, environment }: Machine, path: Path): string[] {
  if (platform === 'win32') return (environment['PATH'] ?? '').split(';').filter((folder) => folder !== '').map((folder) => path.normalize(folder));
  const searched = (environment['LD_LIBRARY_PATH'] ?? '').split(':').filter((folder) => folder !== '');
  return [...searched, '/usr/lib/x86_64-linux-gnu', '/usr/lib64'];
}

/** A sentence on a library that was not found. */
export function describeSearch(name: LibraryName, { folders, candidates }: LibrarySearch, problems: readonly string[]): string {
  const bare = candidates.filter(({ path }) => !/[\\/]/.test(path)).map(({ path }) => path);
  const places = folders.length > 6 ? `${folders.slice(0, 6).join(', ')} and ${String(folders.length - 6)} more folders` : folders.join(', ');
  const detail = problems.length === 0 ? '' : ` (${problems.slice(0, 2).join('; ')})`;
  return `${bare[0]!} was not found${detail}: ${remedies[name]}; looked in ${places === '' ? '' : `${places} and `}wherever the system looks; the option "libraries" or PARE_CUDA_LIBRARIES names another folder`;
}
