import { apiVersion, defineFormat, noOptions, pareError, type Format, type FormatContext, type HostTensor } from '@pare/core';
import { SafetensorsFile, tensorEntry, writeSafetensors } from '@pare/model';
import { deserializeForm, serializeForm } from '@pare/weights';
import { stat } from 'node:fs/promises';
import { join } from 'node:path';

const fileName = 'weights.safetensors';

/**
 * Writes every module's weight in the form it has, to one file, and nothing else. For tests of techniques and of hosts, which need no real format.
 * `readDump` gives the forms back.
 */
export const dumpFormat: Format<Record<string, never>> = defineFormat({
  id: 'dump',
  api: apiVersion,
  title: 'Dump',
  summary: 'Every weight in its form, for tests.',
  options: noOptions,
  accepts: ['dense', 'quantized', 'shared'],
  refuse: () => [],
  async write(context) {
    const { tensors, metadata } = await contentOf(context);
    const path = join(context.directory, fileName);
    await writeSafetensors(path, [...tensors].map(([name, tensor]) => tensorEntry(name, tensor)), metadata);
    return [{ path: fileName, bytes: (await stat(path)).size }];
  },
  async verify(context) {
    await using file = await SafetensorsFile.open(join(context.directory, fileName));
    const { tensors } = await contentOf(context);
    for (const [name, tensor] of tensors) {
      const read = await file.read(name);
      if (!Buffer.from(read.data.buffer, read.data.byteOffset, read.data.byteLength).equals(Buffer.from(tensor.data.buffer, tensor.data.byteOffset, tensor.data.byteLength))) {
        throw pareError('PARE_TENSOR_UNKNOWN', { tensor: name, model: fileName });
      }
    }
    return { tensors: tensors.size, largestDifference: 0 };
  },
});

async function contentOf({ model }: FormatContext<unknown>): Promise<{ tensors: Map<string, HostTensor>; metadata: Record<string, string> }> {
  const tensors = new Map<string, HostTensor>();
  const metadata: Record<string, string> = {};
  for (const { name } of model.modules) {
    const serialized = serializeForm(await model.weight(name));
    metadata[name] = JSON.stringify(serialized.metadata);
    for (const [part, tensor] of Object.entries(serialized.tensors)) tensors.set(`${name}/${part}`, tensor);
  }
  return { tensors, metadata };
}

/** The forms of a dumped output by module name. */
export async function readDump(directory: string): Promise<Map<string, ReturnType<typeof deserializeForm>>> {
  await using file = await SafetensorsFile.open(join(directory, fileName));
  const forms = new Map<string, ReturnType<typeof deserializeForm>>();
  for (const [module, text] of Object.entries(file.metadata)) {
    const tensors: Record<string, HostTensor> = {};
    for (const name of file.names) if (name.startsWith(`${module}/`)) tensors[name.slice(module.length + 1)] = await file.read(name);
    forms.set(module, deserializeForm(tensors, JSON.parse(text) as Record<string, string>));
  }
  return forms;
}
