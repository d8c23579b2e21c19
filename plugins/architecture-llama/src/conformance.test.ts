import { describeArchitecture } from '@pare/conformance';
import type { ModelConfig } from '@pare/core';
import { readFileSync } from 'node:fs';
import { llamaArchitecture } from './index.js';

const fixtures = new URL('../../../packages/testkit/fixtures/architectures/', import.meta.url);
const names = ['llama', 'llama-tied-rope-scaled', 'mistral', 'qwen2', 'qwen3', 'qwen3_moe', 'phi3', 'gemma2'];

/** Shapes in the header of a checkpoint. */
function storedShapes(name: string): Record<string, number[]> {
  const bytes = readFileSync(new URL(`${name}/model.safetensors`, fixtures));
  const header = JSON.parse(bytes.toString('utf8', 8, 8 + Number(bytes.readBigUInt64LE(0)))) as Record<string, { shape: number[] }>;
  return Object.fromEntries(Object.entries(header).flatMap(([key, { shape }]) => (key === '__metadata__' ? [] : [[key, shape]])));
}

describeArchitecture(llamaArchitecture, {
  configs: Object.fromEntries(names.map((name) => [name, JSON.parse(readFileSync(new URL(`${name}/config.json`, fixtures), 'utf8')) as ModelConfig])),
  tensors: Object.fromEntries(names.map((name) => [name, storedShapes(name)])),
});
