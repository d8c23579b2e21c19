import { build, type Message } from 'esbuild';
import { describe, expect, it } from 'vitest';
import { root, workspacePackages } from './workspace.js';

/** What a bundler for browsers cannot find when a page imports these packages. */
async function missing(imports: readonly string[]): Promise<string[]> {
  const contents = imports.map((name, index) => `import * as m${String(index)} from '${name}'; console.log(m${String(index)});`).join('\n');
  const describe = ({ text, location }: Message): string => `${location?.file ?? ''}:${String(location?.line ?? 0)} ${text}`;
  return build({
    stdin: { contents, resolveDir: `${root}/tools/checks` },
    bundle: true,
    write: false,
    format: 'esm',
    platform: 'browser',
    target: 'es2022',
    conditions: ['@pare/source'],
    logLevel: 'silent',
    // Without it a look at the environment would leave `process` behind.
    define: { 'process.env.NODE_ENV': '"production"' },
  }).then(
    () => [],
    (error: unknown) => (error as { errors: Message[] }).errors.map(describe),
  );
}

describe('packages for browsers', () => {
  const anywhere = workspacePackages().filter(({ manifest }) => manifest.nx?.tags?.includes('runtime:any') === true);

  it('are those that a page needs to compress a model', () => {
    const names = anywhere.map(({ name }) => name);
    expect(names).toEqual(expect.arrayContaining(['core', 'graph', 'model', 'operators', 'platform', 'report', 'runtime', 'solvers', 'weights'].map((name) => `@pare/${name}`)));
    expect(names).toEqual(expect.arrayContaining(['technique-gptq', 'technique-rtn', 'architecture-llama', 'format-hf', 'evaluator-perplexity', 'backend-reference', 'preset-standard'].map((name) => `@pare/${name}`)));
  });

  it.each(anywhere.map(({ name }) => [name]))('%s needs no module of Node', async (name) => {
    expect(await missing([name])).toEqual([]);
  });

  it('would be told from others', async () => {
    expect((await missing(['@pare/model/node'])).join('\n')).toMatch(/Could not resolve "node:/);
  });
});
