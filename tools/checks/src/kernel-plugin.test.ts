import { referenceBackend } from '@pare/backend-reference';
import { webgpuBackend } from '@pare/backend-webgpu';
import { createRandom, float32Tensor, type Backend, type Technique } from '@pare/core';
import { runTechnique } from '@pare/testkit';
import { denseFloat32 } from '@pare/weights';
import { build } from 'esbuild';
import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { root } from './workspace.js';

const silent = (): void => undefined;
const log = { debug: silent, info: silent, warn: silent, error: silent };

describe('examples/kernel-plugin', () => {
  let folder: string;
  let technique: Technique;

  beforeAll(async () => {
    // Inside the workspace, so that the bundle finds the packages that it leaves out.
    const parent = join(root, 'tools/checks/test-results');
    await mkdir(parent, { recursive: true });
    folder = await mkdtemp(join(parent, 'kernel-plugin-'));
    const outfile = join(folder, 'index.mjs');
    await build({
      entryPoints: [join(root, 'examples/kernel-plugin/src/index.ts')],
      ...{ bundle: true, format: 'esm', platform: 'neutral', target: 'es2022', loader: { '.wgsl': 'text' }, external: ['@pare/core', '@pare/executor'], outfile },
    });
    technique = ((await import(pathToFileURL(outfile).href)) as { default: Technique }).default;
  });
  afterAll(async () => {
    await rm(folder, { recursive: true, force: true });
  });

  async function shrunk(backend: Backend): Promise<Record<string, Float32Array>> {
    const random = createRandom(3);
    const modules = Object.fromEntries(
      [
        [5, 7],
        [33, 130],
      ].map(([rows, columns]) => [`layer${String(rows)}`, { weight: float32Tensor([rows!, columns!], Float32Array.from({ length: rows! * columns! }, () => random() - 0.5)) }]),
    );
    const results = await runTechnique(technique, { options: { strength: 0.4 }, modules, backend });
    expect(backend.memory().tensors).toBe(0);
    return Object.fromEntries([...results].map(([name, { form }]) => [name, denseFloat32(form as Parameters<typeof denseFloat32>[0])]));
  }

  it('gives on WebGPU, with its kernel, what its plain version gives', async () => {
    await using reference = await referenceBackend.create({}, { log });
    await using webgpu = await webgpuBackend.create({ powerPreference: 'high-performance', software: true }, { log });
    const [expected, actual] = [await shrunk(reference), await shrunk(webgpu)];
    for (const [name, values] of Object.entries(expected)) {
      expect(values.filter((value) => value === 0).length).toBeGreaterThan(values.length / 10);
      actual[name]!.forEach((value, index) => {
        expect(value).toBeCloseTo(values[index]!, 6);
      });
    }
  });
});
