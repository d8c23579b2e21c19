import { apiVersion, pluginKind } from '@pare/core';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { workspacePackages, type PackageManifest, type WorkspacePackage } from './workspace.js';

/** What every manifest says. */
const license = 'Apache-2.0';
const layers = ['contract', 'shared', 'kernel', 'plugin', 'preset', 'test', 'app', 'tool'];

/** Manifests are complete and alike, their exports point at files, and plugin packages export the plugins they promise. Needs a build. */
export async function checkPackages(): Promise<string[]> {
  const problems: string[] = [];
  for (const workspacePackage of workspacePackages()) {
    problems.push(...manifestProblems(workspacePackage.manifest, workspacePackage.path), ...missingFiles(workspacePackage));
    if (workspacePackage.manifest.pare !== undefined) problems.push(...(await pluginProblems(workspacePackage)));
  }
  return problems;
}

/** What is missing from a manifest, or differs from the others. */
export function manifestProblems(manifest: PackageManifest, path: string): string[] {
  const problems: string[] = [];
  const require = (condition: boolean, problem: string): void => {
    if (!condition) problems.push(`${path}/package.json: ${problem}`);
  };
  require(manifest.license === license, `license is not ${license}`);
  require(manifest.type === 'module', 'type is not "module"');
  require((manifest.description ?? '') !== '', 'description is missing');
  require(manifest.engines?.['node'] === '>=20.19', 'engines.node is not ">=20.19"');
  require(manifest.exports?.['./package.json'] === './package.json', 'exports lack ./package.json');
  require(manifest.private === true || (manifest.files ?? []).includes('dist'), 'files lack dist');
  require(manifest.private === true || (manifest.files ?? []).includes('!dist/*.tsbuildinfo'), 'files lack "!dist/*.tsbuildinfo", which keeps build information out of tarballs');
  const tags = manifest.nx?.tags ?? [];
  const layer = tags.filter((tag) => tag.startsWith('layer:'));
  require(layer.length === 1 && layers.includes(layer[0]!.slice('layer:'.length)), `nx.tags need one of ${layers.map((name) => `layer:${name}`).join(', ')}`);
  require(tags.some((tag) => tag.startsWith('runtime:')), 'nx.tags need runtime:any, runtime:node or runtime:browser');
  if (path.startsWith('plugins/')) {
    require(manifest.pare !== undefined, 'the "pare" field is missing');
    require((manifest.keywords ?? []).includes('pare-plugin'), 'keywords lack pare-plugin');
    require(tags.includes(`kind:${manifest.pare?.kind ?? ''}`), 'nx.tags lack the kind of the "pare" field');
  }
  return problems;
}

function missingFiles({ manifest, path, directory }: WorkspacePackage): string[] {
  const targets = Object.values(manifest.exports ?? {}).flatMap((entry) => (typeof entry === 'string' ? [entry] : Object.values(entry)));
  const files = [...targets, ...Object.values(manifest.bin ?? {}), 'README.md'];
  return files.filter((file) => !existsSync(join(directory, file))).map((file) => `${path}: ${file} does not exist`);
}

async function pluginProblems({ name, path, manifest }: WorkspacePackage): Promise<string[]> {
  const exported = ((await import(name)) as { default?: unknown }).default;
  const plugins: unknown[] = Array.isArray(exported) ? exported : [exported];
  const declared = manifest.pare ?? {};
  return plugins.flatMap((plugin) => {
    const kind = pluginKind(plugin);
    if (kind !== declared.kind) return [`${path}: the default export is ${kind ?? 'no plugin'}, package.json says ${declared.kind ?? 'nothing'}`];
    const api = (plugin as { api: number }).api;
    return api === declared.api && api === apiVersion ? [] : [`${path}: API ${String(api)} in code, ${String(declared.api)} in package.json, ${String(apiVersion)} in core`];
  });
}
