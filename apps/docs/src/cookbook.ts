import { fencedBlocks, readText, root } from '@pare/checks';
import { loadBundledPlugins } from '@pare/cli';
import { isPareError } from '@pare/core';
import { createHost, parseRecipe } from '@pare/runtime';
import { join } from 'node:path';

/** Plans every recipe of the cookbook on a small model: options, targets, order of stages and group sizes. Returns what does not hold. */
export async function cookbookProblems(): Promise<string[]> {
  const document = 'docs/cookbook.md';
  const recipes = fencedBlocks(document, readText(document)).filter(({ language }) => language === 'yaml');
  await using host = await createHost({ plugins: await loadBundledPlugins() });
  const problems: string[] = [];
  for (const { line, text } of recipes) {
    try {
      await host.plan({
        model: join(root, 'examples/models/tales-7m'),
        recipe: await parseRecipe(text, document),
        calibration: { data: join(root, 'examples/data/tales-calibration.txt'), samples: 4, sequenceLength: 64 },
        formats: ['onnx'],
        set: ['onnx.dtype=fp32'],
        backend: 'reference',
      });
    } catch (error) {
      if (!isPareError(error)) throw error;
      problems.push(`${document}:${String(line)}: ${error.code}: ${error.message}`);
    }
  }
  return problems;
}
