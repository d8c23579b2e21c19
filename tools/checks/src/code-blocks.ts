import { commandProblem, loadBundledPlugins } from '@pare/cli';
import { isPareError } from '@pare/core';
import { createHost, parseRecipe, type Host } from '@pare/runtime';
import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { documents } from './documents.js';
import { fencedBlocks, fileOf, type FencedBlock } from './fenced-blocks.js';
import { shellCommands } from './shell-lines.js';
import { isShownOnly } from './shown-only.js';
import { readText, root } from './workspace.js';

/** Documents that are executed as a whole (apps/docs). */
const isTutorial = (document: string): boolean => document.startsWith('apps/docs/pages/tutorials/');

/** Documents whose recipes use plugins of their own; their tests run them. */
const ownPlugins = (document: string): boolean => document.startsWith('examples/') || isTutorial(document);

/** Blocks without a language that begin so are taken for shell. */
const commandLine = /^\s*(pare|npx|npm|node|git|cd) /;

/** Languages whose blocks are no code, or that another check sees to: `ts` by `snippets.ts`, JavaScript by running it or Node's parser. */
const elsewhere = new Set(['ts', 'typescript', 'text', 'mermaid']);

/** What is wrong with a block of code of a document; nothing for languages that other checks see to. */
export async function blockProblems(block: FencedBlock, host: Pick<Host, 'resolveRecipe'>, scripts: Readonly<Record<string, string>>): Promise<string[]> {
  switch (block.language === '' && commandLine.test(block.text) ? 'sh' : block.language) {
    case 'sh':
      // Tutorials and examples are executed by tests of their own; of examples the command's lines are looked at all the same.
      if (isTutorial(block.document)) return [];
      return (await Promise.all(shellCommands(block.text).map((words) => shellProblem(words, block.document, scripts)))).filter((problem) => problem !== undefined);
    case 'yaml':
      return recipeProblems(block, host);
    case 'json':
      return jsonProblems(block.text);
    case 'js':
      // Blocks with a name are files of a tutorial, which is executed.
      return fileOf(block) !== undefined || parses(block.text) ? [] : ['is no JavaScript'];
    case '':
      return ['has no language: ts, js, sh, yaml, json, or text for what is no code'];
    default:
      return elsewhere.has(block.language) ? [] : [`is "${block.language}", which no check knows`];
  }
}

/** What is wrong with a command, undefined for nothing. */
export async function shellProblem(words: readonly string[], document: string, scripts: Readonly<Record<string, string>>): Promise<string | undefined> {
  const [program, ...rest] = words[0] === 'npx' ? words.slice(1) : words;
  const text = words.join(' ');
  if (program === 'pare') {
    const problem = await commandProblem(rest);
    return problem === undefined ? undefined : `${text}: ${problem}`;
  }
  if (program === 'npm' && rest[0] === 'run') {
    const name = rest.find((word) => word !== 'run' && !word.startsWith('-'));
    // Scripts of a package's own (-w) are looked for there by npm alone.
    return name === undefined || name in scripts || rest.includes('-w') ? undefined : `${text}: package.json has no script "${name}"`;
  }
  if (program === 'node') {
    const file = rest.find((word) => !word.startsWith('-'));
    const places = file === undefined ? [] : [root, dirname(join(root, document))].map((folder) => join(folder, file));
    return places.some((place) => existsSync(place)) ? undefined : `${text}: there is no such file`;
  }
  return isShownOnly(words) || document.startsWith('examples/') ? undefined : `${text}: nothing checks this; list it in tools/checks/src/shown-only.ts with a reason if nothing can`;
}

async function recipeProblems(block: FencedBlock, host: Pick<Host, 'resolveRecipe'>): Promise<string[]> {
  // Other YAML than recipes (workflows of a forge) has neither of a recipe's two keys.
  if (!/^(version|stages):/m.test(block.text)) return [];
  try {
    const recipe = await parseRecipe(block.text, block.document);
    // A lock that a recipe pins lies beside it, and not here.
    if (!ownPlugins(block.document)) await host.resolveRecipe({ version: recipe.version, stages: recipe.stages });
    return [];
  } catch (error) {
    if (!isPareError(error)) throw error;
    return [`${error.code}: ${error.message}`];
  }
}

function jsonProblems(text: string): string[] {
  try {
    JSON.parse(text);
    return [];
  } catch (error) {
    return [String(error)];
  }
}

/** Whether a text is a module's source, imports left out: the parser of functions knows none. */
function parses(text: string): boolean {
  try {
    const body = text.replaceAll(/^import .*$/gm, '').replaceAll(/^export (default )?/gm, '');
    Reflect.construct(Object.getPrototypeOf(async () => undefined).constructor as FunctionConstructor, [body]);
    return true;
  } catch {
    return false;
  }
}

/** Every code block of every document is checked by something. */
export async function checkCodeBlocks(): Promise<string[]> {
  const { scripts } = JSON.parse(readText('package.json')) as { scripts: Record<string, string> };
  await using host = await createHost({ plugins: await loadBundledPlugins(['technique', 'preset']) });
  const problems: string[] = [];
  for (const document of documents()) {
    for (const block of fencedBlocks(document, readText(document))) {
      problems.push(...(await blockProblems(block, host, scripts)).map((problem) => `${document}:${String(block.line)}: ${problem}`));
    }
  }
  return problems;
}

