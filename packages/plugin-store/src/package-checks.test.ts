import { describe, expect, it } from 'vitest';
import { packageProblems } from './package-checks.js';
import type { PackageManifest } from './package-manifest.js';

const manifest = (changes: Partial<PackageManifest> = {}): PackageManifest => ({ name: 'pare-x', version: '1.2.3', pare: { kind: 'technique', api: 1 }, ...changes });

describe('packageProblems', () => {
  it('finds nothing in a package for this host', async () => {
    expect(await packageProblems(manifest({ engines: { node: '>=20.19' }, peerDependencies: { '@pare/core': '^0.1.0', 'not-the-hosts': '^9' } }))).toEqual([]);
  });

  it.each<[string, Partial<PackageManifest>, string, RegExp]>([
    ['is no plugin', { pare: undefined }, 'nothing', /pare-x is a Pare plugin; if it is yours/],
    ['is of no kind', { pare: { kind: 'gadget', api: 1 } }, 'kind "gadget"', /pare-x/],
    ['is for a later API', { pare: { kind: 'technique', api: 2 } }, 'plugin API 2', /^Update Pare, or install an earlier version of pare-x, made for API 1\.$/],
    ['is for an earlier API', { pare: { kind: 'technique', api: 0 } }, 'plugin API 0', /^Install a version of pare-x that is made for API 1\.$/],
    ['says no API', { pare: { kind: 'technique' } }, 'plugin API null', /made for API 1/],
    ['needs another Node', { engines: { node: '>=99' } }, 'Node 20.19.0', /^Run Pare with Node >=99/],
    ['needs another core', { peerDependencies: { '@pare/core': '^7.0.0' } }, '@pare/core 0.1.0 in this host', /made for @pare\/core 0\.1\.0, or the Pare that has @pare\/core \^7\.0\.0/],
  ])('tells of a package that %s, with the fix', async (_, changes, found, fix) => {
    const problems = await packageProblems(manifest(changes), '20.19.0');
    expect(problems).toHaveLength(1);
    expect(problems[0]!.path).toContain('pare-x@1.2.3');
    expect(problems[0]!.found).toBe(found);
    expect(problems[0]!.fix).toMatch(fix);
  });
});
