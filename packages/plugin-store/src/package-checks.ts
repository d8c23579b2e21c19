import { apiVersion, pluginTags } from '@pare/core';
import type { PluginProblem } from '@pare/runtime';
import { hostPackage } from './host-packages.js';
import type { PackageManifest } from './package-manifest.js';
import { inRange } from './version-range.js';

/**
 * What a package's own words say against loading it: no `"pare"` field, another plugin API, a Node or a peer package of the host's that it is not made for. Nothing is
 * imported.
 */
export async function packageProblems(manifest: PackageManifest, nodeVersion: string = process.versions.node): Promise<PluginProblem[]> {
  const { name, version, pare, engines, peerDependencies = {}, peerDependenciesMeta = {} } = manifest;
  const path = `${name}@${version}`;
  const problems: PluginProblem[] = [];
  if (pare?.kind === undefined || !Object.hasOwn(pluginTags, pare.kind)) {
    problems.push({
      path: `${path}: "pare" of package.json`,
      found: pare === undefined ? 'nothing' : `kind ${JSON.stringify(pare.kind)}`,
      allowed: `"pare": { "kind": one of ${Object.keys(pluginTags).join(', ')}, "api": ${String(apiVersion)} }`,
      fix: `Check that ${name} is a Pare plugin; if it is yours, add the field.`,
    });
  } else if (pare.api !== apiVersion) {
    const newer = typeof pare.api === 'number' && pare.api > apiVersion;
    problems.push({
      path: `${path}: "pare.api" of package.json`,
      found: `plugin API ${JSON.stringify(pare.api ?? null)}`,
      allowed: `${String(apiVersion)}, the plugin API of this host`,
      fix: newer ? `Update Pare, or install an earlier version of ${name}, made for API ${String(apiVersion)}.` : `Install a version of ${name} that is made for API ${String(apiVersion)}.`,
    });
  }
  const node = engines?.['node'];
  if (node !== undefined && inRange(nodeVersion, node) === false) {
    problems.push({ path: `${path}: engines.node`, found: `Node ${nodeVersion}`, allowed: node, fix: `Run Pare with Node ${node}, or install a version of ${name} for Node ${nodeVersion}.` });
  }
  for (const [peer, range] of Object.entries(peerDependencies)) {
    const own = await hostPackage(peer);
    if (own === undefined || peerDependenciesMeta[peer]?.optional === true || inRange(own.version, range) !== false) continue;
    problems.push({
      path: `${path}: peerDependencies["${peer}"]`,
      found: `${peer} ${own.version} in this host`,
      allowed: range,
      fix: `Install a version of ${name} that is made for ${peer} ${own.version}, or the Pare that has ${peer} ${range}.`,
    });
  }
  return problems;
}
