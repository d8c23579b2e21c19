import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { findOnnxFiles, onnxFileName, onnxFileParts } from './index.js';

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'pare-onnx-'));
  await mkdir(join(folder, 'onnx'));
  for (const name of ['model.onnx', 'model.onnx_data', 'model.onnx_data_1', 'model_q4.onnx', 'model_q4.onnx.data', 'model_other.onnx', 'notes.txt']) await writeFile(join(folder, 'onnx', name), '');
});
afterAll(() => rm(folder, { recursive: true, force: true }));

describe('the ONNX files of a folder', () => {
  it('are those that transformers.js would load, fp32 first', async () => {
    expect((await findOnnxFiles(folder)).map(({ dtype, path }) => [dtype, path])).toEqual([
      ['fp32', join(folder, 'onnx', 'model.onnx')],
      ['q4', join(folder, 'onnx', 'model_q4.onnx')],
    ]);
    expect(onnxFileName('q8')).toBe('model_quantized.onnx');
  });

  it('begin with the one that config.json states', async () => {
    await writeFile(join(folder, 'config.json'), JSON.stringify({ 'transformers.js_config': { dtype: 'q4' } }));
    expect((await findOnnxFiles(folder)).map(({ dtype }) => dtype)).toEqual(['q4', 'fp32']);
    await writeFile(join(folder, 'config.json'), '{ no JSON');
    expect((await findOnnxFiles(folder)).map(({ dtype }) => dtype)).toEqual(['fp32', 'q4']);
  });

  it('come with their data files and nobody else\'s', async () => {
    const names = async (name: string): Promise<string[]> => (await onnxFileParts(join(folder, 'onnx', name))).map((path) => path.slice(join(folder, 'onnx').length + 1));
    expect(await names('model.onnx')).toEqual(['model.onnx', 'model.onnx_data', 'model.onnx_data_1']);
    expect(await names('model_q4.onnx')).toEqual(['model_q4.onnx', 'model_q4.onnx.data']);
  });

  it('are none where there is no folder', async () => {
    expect(await findOnnxFiles(join(folder, 'nowhere'))).toEqual([]);
  });
});
