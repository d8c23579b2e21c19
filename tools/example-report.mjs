// npm run example-report: compresses a small model by several recipes, measures each, and writes docs/example-report.html.
// Works in a fresh clone with Node and npm alone.
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { build, capture, install, requireNode, root, run, step } from './steps.mjs';

// Relative to the root of the repository, where the commands run.
const model = 'examples/models/tales-7m';
const calibration = ['--calibration', 'examples/data/tales-calibration.txt', '--samples', '64', '--sequence-length', '512'];
const data = ['--data', 'examples/data/tales-evaluation.txt'];
const measurement = ['--evaluator', 'perplexity,size', ...data];
/** Some readers do not know codes of three bits; this folder is only measured here. */
const oddBits = ['--set', 'hf.oddBits=true'];
const report = 'docs/example-report.html';

const recipes = [
  { name: 'rtn-w8', words: ['--recipe', 'rtn-w8', '--set', 'rtn.groupSize=64'] },
  { name: 'rtn-w4', words: ['--recipe', 'rtn-w4', '--set', 'rtn.groupSize=64'] },
  { name: 'rtn-w3', words: ['--recipe', 'rtn-w4', '--set', 'rtn.bits=3', '--set', 'rtn.groupSize=64', ...oddBits] },
  { name: 'gptq-w4', words: ['--recipe', 'gptq-w4', '--set', 'gptq.groupSize=64', ...calibration] },
  { name: 'gptq-w3', words: ['--recipe', 'gptq-w3', '--set', 'gptq.groupSize=64', ...oddBits, ...calibration] },
];

const command = join(root, 'apps/cli/dist/main.js');
const pare = (...words) => step(`pare ${words.join(' ')}`, () => run(process.execPath, [command, ...words]));
const folder = ({ name }) => `out/example-report/${name}`;

requireNode();
if ((await install()) !== 0 || (await step('build', build)) !== 0) process.exit(1);
for (const recipe of recipes) {
  if ((await pare('compress', model, ...recipe.words, ...measurement, '--output', folder(recipe), '--overwrite')) !== 0) process.exit(1);
}

// What needs both models at once: divergence, and the error of every layer.
const measured = (recipe) => `${folder(recipe)}.json`;
for (const recipe of recipes) {
  const words = ['evaluate', folder(recipe), '--no-cache', '--original', model, '--evaluator', 'divergence,layer-error', '--samples', '16', ...data, '--json'];
  const code = await step(`pare ${words.join(' ')}`, async () => {
    writeFileSync(join(root, measured(recipe)), await capture(process.execPath, [command, ...words]));
    return 0;
  });
  if (code !== 0) process.exit(1);
}
process.exitCode = await pare('report', ...recipes.flatMap((recipe) => [folder(recipe), measured(recipe)]), '--output', report, '--title', `tales-7m by ${recipes.length} recipes`);
