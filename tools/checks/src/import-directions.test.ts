import { ESLint } from 'eslint';
import { execFileSync } from 'node:child_process';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { root } from './workspace.js';

/** What the import rule says about a file with this text. The file need not exist. */
async function complaints(path: string, text: string): Promise<string[]> {
  const [result] = await new ESLint({ cwd: root }).lintText(text, { filePath: join(root, path) });
  return result!.messages.filter(({ ruleId }) => ruleId === '@nx/enforce-module-boundaries').map(({ message }) => message.split('\n')[0]!);
}

describe('the lint rule about imports', () => {
  // The rule reads Nx's cached project graph; without a current one it passes everything.
  beforeAll(() => {
    const nx = createRequire(import.meta.url).resolve('nx/bin/nx.js');
    execFileSync(process.execPath, [nx, 'show', 'projects'], { cwd: root, env: { ...process.env, NX_DAEMON: 'false' }, stdio: 'ignore' });
  }, 120_000);

  it.each([
    ['a plugin and the runtime', 'plugins/technique-rtn/src/sample.ts', '@pare/runtime'],
    ['a plugin and another plugin', 'plugins/technique-rtn/src/sample.ts', '@pare/technique-gptq'],
    ['a plugin and the container', 'plugins/technique-rtn/src/sample.ts', 'tsyringe'],
    ['a plugin and a test kit in shipped code', 'plugins/technique-rtn/src/sample.ts', '@pare/testkit'],
    ['the contracts and anything else', 'packages/core/src/sample.ts', '@pare/graph'],
    ['the contracts and an outside package', 'packages/core/src/sample.ts', 'zod'],
    ['a library and the runtime', 'packages/graph/src/sample.ts', '@pare/runtime'],
    ['the runtime and a plugin', 'packages/runtime/src/sample.ts', '@pare/technique-rtn'],
    // Heavy packages are imported where they are used, so that `pare --help` starts at once.
    ['the command and the runtime at start', 'apps/cli/src/sample.ts', '@pare/runtime'],
    ['the command and the container', 'apps/cli/src/sample.ts', 'reflect-metadata'],
    ['the command and a test kit in shipped code', 'apps/cli/src/sample.ts', '@pare/testkit'],
  ])('keeps apart %s', async (_name, path, imported) => {
    expect(await complaints(path, `import '${imported}';\n`)).toHaveLength(1);
  });

  it.each([
    ['a plugin and the contracts', 'plugins/technique-rtn/src/sample.ts', '@pare/core'],
    ['a plugin and a library', 'plugins/technique-rtn/src/sample.ts', '@pare/weights'],
    ['a test and a test kit', 'plugins/technique-rtn/src/sample.test.ts', '@pare/conformance'],
    ['the runtime and the container', 'packages/runtime/src/sample.ts', 'tsyringe'],
  ])('lets through %s', async (_name, path, imported) => {
    expect(await complaints(path, `import '${imported}';\n`)).toEqual([]);
  });

  it('lets the command import plugins when it needs them', async () => {
    expect(await complaints('apps/cli/src/sample.ts', `export const load = () => import('@pare/technique-rtn');\n`)).toEqual([]);
  });
});
