import { isPareError, pareError, pluginKind, type Plugin } from '@pare/core';
import { TimeLimitError, withTimeLimit } from '@pare/platform';
import { importFile, locate, packageOf } from '#node-only';
import type { HostPluginEntry, LoadedPlugin, PackagedPlugin, PluginReference } from './host-types.js';
import { conflictProblems, pluginProblems } from './plugin-checks.js';
import { describeValue, type PluginProblem } from './plugin-problem.js';

export interface LoadOptions {
  /** Folder that package names and relative paths are resolved from. */
  readonly cwd: string;
  readonly timeoutSeconds: number;
  /** What else is wrong with plugins that loaded; at the path of a plugin's source or below it. */
  readonly check?: ((plugins: readonly LoadedPlugin[]) => readonly PluginProblem[]) | undefined;
}

/** A plugin entry that was loaded, for `host.explain()`. */
export interface LoadTiming {
  readonly source: string;
  readonly milliseconds: number;
  readonly plugins: readonly string[];
}

export interface LoadResult {
  readonly plugins: readonly LoadedPlugin[];
  readonly timings: readonly LoadTiming[];
  /** Everything that is wrong; plugins with problems are left out of `plugins`. */
  readonly problems: readonly PluginProblem[];
  /** What is wrong with optional plugins, which are left out. */
  readonly warnings: readonly PluginProblem[];
}

interface Candidate {
  readonly value: unknown;
  readonly source: string;
  readonly package: string | undefined;
  readonly version: string | undefined;
  readonly folder: string | undefined;
  readonly bundled: boolean;
}

interface EntryOutcome {
  readonly candidates: readonly Candidate[];
  readonly problems: readonly PluginProblem[];
  readonly timing: LoadTiming | undefined;
}

/** Flattens entries, imports packages (at the same time, each within its time limit) and checks every plugin. Collects problems, never throws for them. */
export async function loadPlugins(entries: readonly HostPluginEntry[], options: LoadOptions): Promise<LoadResult> {
  const flat = flatten(entries, 'plugins');
  const outcomes = await Promise.all(flat.map(({ entry, path }) => loadEntry(entry, path, options)));
  const problems = outcomes.flatMap((outcome) => outcome.problems);
  const plugins: LoadedPlugin[] = [];
  for (const candidate of outcomes.flatMap((outcome) => outcome.candidates)) {
    const found = pluginProblems(candidate.value, candidate.source);
    problems.push(...found);
    if (found.length > 0) continue;
    const plugin = candidate.value as Plugin;
    plugins.push({
      id: plugin.id,
      kind: pluginKind(plugin)!,
      title: plugin.title,
      summary: plugin.summary,
      api: plugin.api,
      package: candidate.package ?? plugin.package,
      version: candidate.version ?? plugin.version,
      folder: candidate.folder,
      bundled: candidate.bundled,
      source: candidate.source,
      plugin,
    });
  }
  problems.push(...conflictProblems(plugins), ...(options.check?.(plugins) ?? []));
  const optional = flat.flatMap(({ entry, path }) => (isReference(entry) && entry.optional === true ? [`${path} `] : []));
  const warnings = problems.filter(({ path }) => optional.some((prefix) => path.startsWith(prefix)));
  return {
    plugins: plugins.filter(({ source }) => !warnings.some(({ path }) => path === source || path.startsWith(`${source}.`))),
    problems: problems.filter((problem) => !warnings.includes(problem)),
    warnings,
    timings: outcomes.flatMap((outcome) => outcome.timing ?? []),
  };
}

function flatten(entries: readonly HostPluginEntry[], path: string): { entry: unknown; path: string }[] {
  return entries.flatMap((entry: unknown, index) => {
    const here = `${path}[${String(index)}]`;
    if (entry === undefined || entry === null || entry === false) return [];
    return Array.isArray(entry) ? flatten(entry as HostPluginEntry[], here) : [{ entry, path: here }];
  });
}

async function loadEntry(entry: unknown, path: string, options: LoadOptions): Promise<EntryOutcome> {
  if (typeof entry === 'string') return loadPackage(entry, path, options);
  if (isReference(entry)) return loadPackage(entry.package, path, { ...options, cwd: entry.from });
  if (isPackaged(entry)) {
    const list: readonly unknown[] = Array.isArray(entry.plugin) ? entry.plugin : [entry.plugin];
    const candidates = list.map((value, index) => ({
      value,
      source: `${path} (${entry.package})${list.length > 1 ? `[${String(index)}]` : ''}`,
      package: entry.package,
      version: entry.version,
      folder: entry.folder,
      bundled: true,
    }));
    return { candidates, problems: [], timing: undefined };
  }
  return { candidates: [{ value: entry, source: path, package: undefined, version: undefined, folder: undefined, bundled: false }], problems: [], timing: undefined };
}

function isReference(entry: unknown): entry is PluginReference {
  return typeof entry === 'object' && entry !== null && !('$$type' in entry) && 'from' in entry && typeof entry.from === 'string' && 'package' in entry && typeof entry.package === 'string';
}

function isPackaged(entry: unknown): entry is PackagedPlugin {
  return typeof entry === 'object' && entry !== null && !('$$type' in entry) && 'plugin' in entry && 'package' in entry && typeof entry.package === 'string';
}

async function loadPackage(name: string, path: string, options: LoadOptions): Promise<EntryOutcome> {
  const source = `${path} (${name})`;
  const started = performance.now();
  const failed = (found: string, allowed: string, fix: string): EntryOutcome => ({ candidates: [], problems: [{ path: source, found, allowed, fix }], timing: undefined });

  let location: string | undefined;
  let exports: Record<string, unknown>;
  try {
    location = await locate(name, options.cwd);
    if (location === undefined) {
      return failed(`no package or file "${name}" that can be imported from ${options.cwd}`, 'an installed package with a plugin', `Run "npm install ${name}" there, or correct the name.`);
    }
    exports = await withTimeLimit(importFile(location, options.cwd), options.timeoutSeconds);
  } catch (error) {
    if (error instanceof TimeLimitError) {
      return failed(
        `a package that had not loaded after ${String(options.timeoutSeconds)} s`,
        'a package that does its work when asked, not when imported',
        `Remove what ${name} awaits at its top level, or raise the host's pluginTimeoutSeconds.`,
      );
    }
    const reason = isPareError(error) ? `${error.code} ${error.message}` : error instanceof Error ? `${error.name}: ${error.message}` : String(error);
    return failed(`a package that throws while it loads: ${reason}`, 'a package that can be imported', `Update or remove ${name}; its author needs this message.`);
  }

  const identity = await packageOf(location);
  const candidates: Candidate[] = [];
  const seen = new Set<unknown>();
  for (const [exportName, exported] of Object.entries(exports)) {
    const list: readonly unknown[] = Array.isArray(exported) ? exported : [exported];
    for (const value of list) {
      if (pluginKind(value) === undefined || seen.has(value)) continue;
      seen.add(value);
      candidates.push({ value, source: `${source} export "${exportName}"`, package: identity?.name ?? name, version: identity?.version, folder: identity?.folder, bundled: false });
    }
  }
  if (candidates.length === 0) {
    return failed(
      `a module with exports ${Object.keys(exports).join(', ') || '(none)'} and no plugin among them`,
      'a default or named export made with a define… function',
      `Check that ${name} is a Pare plugin package.`,
    );
  }
  const timing = { source, milliseconds: performance.now() - started, plugins: candidates.map((candidate) => (candidate.value as Plugin).id) };
  return { candidates, problems: [], timing };
}

/** A problem in one line, for a warning. */
export function problemText({ path, found, allowed, fix }: PluginProblem): string {
  return `${path}: found ${found}; allowed: ${allowed}. ${fix}`;
}

/** @throws PARE_PLUGINS_INVALID with every problem when there is any */
export function refuseProblems(problems: readonly PluginProblem[]): void {
  if (problems.length === 0) return;
  const sorted = [...problems].sort((a, b) => a.path.localeCompare(b.path, 'en', { numeric: true }));
  throw pareError('PARE_PLUGINS_INVALID', { problems: sorted });
}

/** A configuration entry that is not even a list, as a problem. */
export function notAList(value: unknown, path: string): PluginProblem {
  return { path, found: describeValue(value), allowed: 'a list', fix: 'Write plugins: [ … ].' };
}
