import type { PluginKind } from '@pare/core';
import type { PluginProblem, PluginReference } from '@pare/runtime';
import { dirname, isAbsolute, resolve } from 'node:path';
import { packageProblems } from './package-checks.js';
import { enclosingPackage, installedFolder, readManifest } from './package-manifest.js';
import { probe } from './probe.js';
import { configName, type ProbedPlugin } from './probe-protocol.js';
import type { TakenPlugin } from './stage.js';

/** Where a plugin is listed. */
export type PluginPlace = 'config' | 'project' | 'user';

export interface Diagnosis {
  readonly package: string;
  readonly version: string | undefined;
  readonly place: PluginPlace;
  readonly plugins: readonly ProbedPlugin[];
  /** Empty when it is well. */
  readonly problems: readonly PluginProblem[];
  readonly notes: readonly string[];
}

export interface DoctorOptions {
  readonly cwd: string;
  /** Configuration file that was named. */
  readonly config?: string | undefined;
  /** Packages beside those of the configuration, nearer ones first. One that is listed in two places is examined where it is nearest. */
  readonly references: readonly (PluginReference & { readonly place: Exclude<PluginPlace, 'config'> })[];
  /** Plugins that an application brought along. */
  readonly bundled: readonly TakenPlugin[];
  /** Seconds that each may take to load, 30 by default. */
  readonly seconds?: number | undefined;
  readonly signal?: AbortSignal | undefined;
}

/**
 * Examines every plugin that a host would load beside those an application brought: its package.json, and loading it, each in a process of its own, so that one that hangs or
 * ends the process is named like any other. Two with one id are named together.
 */
export async function examinePlugins({ cwd, config, references, bundled, seconds = 30, signal }: DoctorOptions): Promise<readonly Diagnosis[]> {
  const configured = await probe({ kind: 'config', cwd, file: config, seconds }, signal);
  const diagnoses: Diagnosis[] = [];
  if (configured.plugins.length + configured.problems.length + configured.notes.length > 0) {
    diagnoses.push({ package: config ?? configName, version: undefined, place: 'config', plugins: configured.plugins, problems: configured.problems, notes: configured.notes });
  }
  // A configuration's names start from its folder, and whatever is nearer counts, as in a host.
  const from = config === undefined ? cwd : dirname(resolve(cwd, config));
  const listed = [...configured.names.map((name) => ({ package: name, from, place: 'config' as const })), ...references];
  const packages = listed.filter(({ package: name, place }, index) => !listed.slice(0, index).some((nearer) => nearer.package === name && nearer.place !== place));
  for (const reference of packages) diagnoses.push(await examine(reference, seconds, signal));
  return withConflicts(diagnoses, bundled);
}

async function examine(reference: PluginReference & { readonly place: PluginPlace }, seconds: number, signal: AbortSignal | undefined): Promise<Diagnosis> {
  const { package: name, from, place } = reference;
  const folder = await installedFolder(name, from);
  const manifest = folder === undefined ? undefined : await readManifest(folder);
  // A path to a file is no package, though it lies in one; loading it is the whole examination.
  const stated = manifest === undefined ? [] : await packageProblems(manifest);
  const { plugins, problems, notes } = await probe({ kind: 'package', reference: { package: name, from }, seconds }, signal);
  const version = manifest?.version ?? (isAbsolute(name) || /^\.{1,2}([/\\]|$)/.test(name) ? (await enclosingPackage(resolve(from, name)))?.manifest.version : undefined);
  return { package: name, version: version === '' ? undefined : version, place, plugins, problems: [...stated, ...problems], notes };
}

/** Adds the second claim of an id to whoever makes it. */
function withConflicts(diagnoses: readonly Diagnosis[], bundled: readonly TakenPlugin[]): Diagnosis[] {
  const key = (kind: PluginKind, id: string): string => `${kind} id "${id}"`;
  const owners = new Map(bundled.map(({ kind, id, package: name }) => [key(kind, id), name]));
  return diagnoses.map((diagnosis) => {
    const problems = diagnosis.plugins.flatMap(({ kind, id }): PluginProblem[] => {
      const claim = key(kind, id);
      const owner = owners.get(claim);
      if (owner === undefined) {
        owners.set(claim, diagnosis.package);
        return [];
      }
      return [{ path: diagnosis.package, found: `${claim}, which ${owner} has already`, allowed: `one plugin for ${claim}`, fix: `Remove ${diagnosis.package} or ${owner}.` }];
    });
    return problems.length === 0 ? diagnosis : { ...diagnosis, problems: [...diagnosis.problems, ...problems] };
  });
}
