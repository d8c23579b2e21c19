import { isPareError } from '@pare/core';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createHost } from './host.js';

let cwd: string;

beforeAll(async () => {
  cwd = await mkdtemp(join(tmpdir(), 'pare-faults-'));
});

afterAll(async () => {
  await rm(cwd, { recursive: true, force: true });
});

const preset = (id: string, api = 1): string =>
  `export default { $$type: '@pare/preset', id: '${id}', api: ${String(api)}, title: '${id}', summary: 's', recipe: { version: 1, stages: [{ technique: 'rtn' }] } };`;

/** What a host says to packages with this code. */
async function said(packages: Readonly<Record<string, string>>): Promise<string> {
  for (const [name, code] of Object.entries(packages)) {
    const folder = join(cwd, 'node_modules', name);
    await mkdir(folder, { recursive: true });
    await writeFile(join(folder, 'package.json'), JSON.stringify({ name, version: '1.0.0', type: 'module', exports: './index.js' }));
    await writeFile(join(folder, 'index.js'), code);
  }
  try {
    await using _host = await createHost({ plugins: Object.keys(packages), cwd, pluginTimeoutSeconds: 0.5 });
    return 'nothing';
  } catch (error) {
    return isPareError(error) ? `${error.code} ${error.message}\n  ${error.help}` : String(error);
  }
}

describe('a host names a plugin that', () => {
  it('throws at load', async () => {
    expect(await said({ 'pare-well': preset('well'), 'pare-throws': `throw new TypeError('cannot read the moon');` })).toBe(`PARE_PLUGINS_INVALID 1 problem(s) with plugins:
  plugins[1] (pare-throws): found a package that throws while it loads: TypeError: cannot read the moon; allowed: a package that can be imported
  Update or remove pare-throws; its author needs this message.`);
  });

  it('hangs at load', async () => {
    expect(await said({ 'pare-hangs': `await new Promise(() => {}); ${preset('hangs')}` })).toBe(`PARE_PLUGINS_INVALID 1 problem(s) with plugins:
  plugins[0] (pare-hangs): found a package that had not loaded after 0.5 s; allowed: a package that does its work when asked, not when imported
  Remove what pare-hangs awaits at its top level, or raise the host's pluginTimeoutSeconds.`);
  });

  it('is made for another API', async () => {
    expect(await said({ 'pare-future': preset('future', 2) })).toBe(`PARE_PLUGINS_INVALID 1 problem(s) with plugins:
  plugins[0] (pare-future) export "default".api: found 2; allowed: 1, the plugin API of this host
  preset "future" is made for plugin API 2; install the version of it that is made for API 1.`);
  });

  it('has the id of another, and names both packages', async () => {
    expect(await said({ 'pare-first': preset('same'), 'pare-second': preset('same') })).toBe(`PARE_PLUGINS_INVALID 1 problem(s) with plugins:
  plugins[1] (pare-second) export "default": found preset id "same", which plugins[0] (pare-first) export "default" has already; allowed: one plugin for preset id "same"
  Remove plugins[1] (pare-second) export "default" or plugins[0] (pare-first) export "default", or rename one.`);
  });
});
