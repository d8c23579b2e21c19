import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { describe, expect, it } from 'vitest';
import { root } from './workspace.js';

describe('a plugin from outside the repository', () => {
  it('is built, installed from tarballs, found, and runs in a recipe; a new one passes its conformance suite', async () => {
    const { stdout } = await promisify(execFile)(process.execPath, [join(root, 'examples/third-party-plugin/prove.mjs')], { env: { ...process.env, NO_COLOR: '1' }, maxBuffer: 1 << 24 });
    const proof = JSON.parse(stdout) as { generatedTests: number; stages: { technique: string; modules: number }[]; forms: Record<string, string>; info: string };
    const identity = { kind: 'technique', package: 'pare-technique-ternary', version: '1.0.0', api: 1 };
    expect(proof).toMatchObject({ listed: { id: 'ternary', ...identity }, scanned: identity });
    expect(proof.generatedTests).toBeGreaterThan(30);
    expect(proof.info).toContain('--set ternary.<option>=<value>');
    expect(proof.stages).toMatchObject([
      { technique: 'ternary', modules: 6 },
      { technique: 'rtn', modules: 8 },
    ]);
    expect(proof.forms).toMatchObject({ 'model.layers.1.mlp.down_proj': 'quantized', 'model.embed_tokens': 'dense' });
  }, 600_000);
});
