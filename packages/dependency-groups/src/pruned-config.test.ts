import type { Model, ModelRemoval } from '@pare/core';
import { buildDecoderGraph, describeModel, sliceModel, structureKey } from '@pare/model';
import { architectures, fixtureNames, openFixture, temporaryDirectory, type FixtureName } from '@pare/testkit';
import { writeFile } from 'node:fs/promises';
import { describe, expect, it } from 'vitest';
import { traceGroups } from './index.js';

/* The configuration of a pruned model describes it: in ordinary keys where they can, so that stock loaders open it, else with Pare's own. */

type Kind = 'neurons' | 'heads' | 'channels' | 'blocks' | 'unequal neurons';

function removalOf(model: Model, kind: Kind): ModelRemoval {
  const groups = traceGroups(buildDecoderGraph(model.description));
  const on = (tensor: string, axis: number, index: number) => [groups.unitsOf(tensor, axis, index)[0]!];
  const { blocks, embedding } = model.description;
  switch (kind) {
    case 'neurons':
      return { ...groups.group(model.modules.flatMap(({ name, role }) => (role === 'mlp.down' ? on(`${name}.weight`, 1, 3) : []))), blocks: [] };
    case 'unequal neurons':
      return { ...groups.group(model.modules.flatMap(({ name, role, block }) => (role === 'mlp.down' && block === 1 ? on(`${name}.weight`, 1, 3) : []))), blocks: [] };
    case 'heads':
      return { ...groups.group(blocks.flatMap(({ attention }) => on(`${attention.output.module}.weight`, 1, 0))), blocks: [] };
    case 'channels':
      return { ...groups.group([4, 5].flatMap((index) => on(`${embedding.module}.weight`, 1, index))), blocks: [] };
    case 'blocks':
      return { slices: [], removed: [], blocks: [0] };
  }
}

/** Where the architecture has no key for a size: heads divide the hidden size, Gemma scales embeddings by its root, and its layers alternate. */
const own: Readonly<Partial<Record<FixtureName, readonly Kind[]>>> = {
  gpt2: ['heads', 'channels'],
  gpt_neox: ['heads', 'channels'],
  opt: ['heads', 'channels'],
  gemma2: ['channels'],
};

describe.each(fixtureNames)('%s', (name) => {
  it.each(['neurons', 'heads', 'channels', 'blocks', 'unequal neurons'] as const)('%s', async (kind) => {
    await using model = await openFixture(name);
    const small = sliceModel(model, removalOf(model, kind));
    await using folder = await temporaryDirectory();
    await writeFile(folder.join('config.json'), JSON.stringify(small.config));
    await using described = await describeModel(folder.path, { architectures, file: 'nothing', bytes: 0 });
    expect(described.description).toEqual(small.description);
    expect(described.tensors.map(({ name: tensor, shape }) => [tensor, shape])).toEqual(small.tensors.map(({ name: tensor, shape }) => [tensor, shape]));
    expect(structureKey in small.config).toBe(kind === 'unequal neurons' || own[name]?.includes(kind) === true);
  });

  it('neurons, then heads, then a block', async () => {
    await using model = await openFixture(name);
    const once = sliceModel(model, removalOf(model, 'unequal neurons'));
    const twice = sliceModel(once, removalOf(once, 'heads'));
    const small = sliceModel(twice, removalOf(twice, 'blocks'));
    await using folder = await temporaryDirectory();
    await writeFile(folder.join('config.json'), JSON.stringify(small.config));
    await using described = await describeModel(folder.path, { architectures, file: 'nothing', bytes: 0 });
    expect(described.description).toEqual(small.description);
    // The block that remains comes from the last place of the source, with one neuron less in each MLP.
    const source = model.modules.find(({ role, block }) => role === 'mlp.down' && block === 1)!;
    const target = small.modules.find(({ role }) => role === 'mlp.down')!;
    const [before, after] = [await model.denseWeight(source.name), await small.denseWeight(target.name)];
    expect(after.shape).toEqual([before.shape[0], before.shape[1]! - 1]);
    expect(Array.from(after.data.subarray(0, 3))).toEqual(Array.from(before.data.subarray(0, 3)));
    expect(after.data[3]).toBe(before.data[4]);
  });
});

describe('a configuration with sizes that cannot be', () => {
  it.each([
    [{ hiddenSize: 0 }, 'hiddenSize 0'],
    [{ kept: [1, 0] }, 'kept [1,0]'],
    [{ kept: [0, 9] }, 'kept [0,9]'],
    [{ blocks: [] }, 'another number of blocks'],
    [{ blocks: [{ heads: 4, kvHeads: 2, neurons: [128] }, { heads: 4, kvHeads: 2, neurons: 'many' }] }, 'block 1'],
  ])('%j', async (change, found) => {
    await using model = await openFixture('llama');
    const sizes = { heads: 4, kvHeads: 2, neurons: [128] };
    await using folder = await temporaryDirectory();
    await writeFile(folder.join('config.json'), JSON.stringify({ ...model.config, [structureKey]: { kept: [0, 1], hiddenSize: 64, blocks: [sizes, sizes], ...change } }));
    await expect(describeModel(folder.path, { architectures, file: 'nothing', bytes: 0 })).rejects.toMatchObject({ code: 'PARE_CONFIG_INVALID', message: expect.stringContaining(found) as string });
  });
});
