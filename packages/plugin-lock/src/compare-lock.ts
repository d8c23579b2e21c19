import { lockablePackages, lockPackage, pluginName, type LockablePlugin } from './create-lock.js';
import type { LockedPackage, PluginLock } from './lock-file.js';

/** Something that is not as it was locked. */
export interface LockDifference {
  /** The package, or where a plugin that is in no package was listed. */
  readonly subject: string;
  readonly locked: string;
  readonly found: string;
  readonly fix: string;
}

/** Everything in which loaded plugins differ from a lock: packages that changed, that are gone, and that came in. */
export async function compareLock(lock: PluginLock, plugins: readonly LockablePlugin[]): Promise<readonly LockDifference[]> {
  const { packages, loose } = lockablePackages(plugins);
  const differences: LockDifference[] = [];
  const seen = new Map<string, string>();
  for (const loaded of packages) {
    const { name, version, folder } = loaded;
    const names = loaded.plugins.join(', ');
    const twin = seen.get(name);
    const locked = Object.hasOwn(lock.packages, name) ? lock.packages[name] : undefined;
    seen.set(name, folder);
    if (twin !== undefined) {
      differences.push({ subject: name, locked: 'one package of this name', found: `another one in ${folder} beside ${twin}`, fix: `Load ${name} from one place.` });
    } else if (locked === undefined) {
      differences.push({ subject: name, locked: 'nothing', found: `version ${version} with ${names}`, fix: `Take ${name} out of the plugins.` });
    } else if (locked.version !== version) {
      differences.push({ subject: name, locked: `version ${locked.version}`, found: `version ${version}`, fix: `Install ${name}@${locked.version}.` });
    } else {
      differences.push(...contentDifferences(name, locked, await lockPackage({ ...loaded, bundled: locked.dependencies === undefined })));
    }
  }
  for (const [name, { version, plugins: names }] of Object.entries(lock.packages)) {
    if (seen.has(name)) continue;
    differences.push({ subject: name, locked: `version ${version} with ${names.join(', ')}`, found: 'nothing', fix: `Install ${name}@${version} and add it to the plugins.` });
  }
  for (const plugin of loose) {
    differences.push({
      subject: plugin.source,
      locked: 'nothing',
      found: `${pluginName(plugin)}, which came as a value and not as a package that can be hashed`,
      fix: `List it by the name of its package, or take ${plugin.source} out.`,
    });
  }
  return differences;
}

function contentDifferences(name: string, locked: LockedPackage, found: LockedPackage): LockDifference[] {
  const differences: LockDifference[] = [];
  const again = `Install ${name}@${locked.version} again.`;
  if (locked.integrity !== found.integrity) {
    differences.push({ subject: name, locked: `${locked.version} ${locked.integrity}`, found: `${found.version} ${found.integrity}`, fix: again });
  }
  const before = locked.dependencies ?? {};
  const now = found.dependencies ?? {};
  for (const dependency of [...new Set([...Object.keys(before), ...Object.keys(now)])].sort()) {
    if (before[dependency] === now[dependency]) continue;
    const say = (hash: string | undefined): string => (hash === undefined ? `no dependency ${dependency}` : `${dependency} ${hash}`);
    differences.push({ subject: name, locked: say(before[dependency]), found: say(now[dependency]), fix: again });
  }
  return differences;
}
