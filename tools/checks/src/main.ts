import { checkCodeBlocks } from './code-blocks.js';
import { checkDocumentLinks } from './document-links.js';
import { checkErrorCodes, unsortedCodes } from './error-codes.js';
import { errorCatalogue } from '@pare/core';
import { checkForbiddenWords } from './forbidden-words.js';
import { checkLineBudgets } from './line-budgets.js';
import { checkLockfile } from './lockfile.js';
import { checkOptionTables } from './option-tables.js';
import { checkPackages } from './packages.js';
import { checkRelease } from './release.js';
import { checkSnippets } from './snippets.js';
import { checkTechniqueReadmes } from './technique-readmes.js';

const write = process.argv.includes('--write');

const checks: readonly (readonly [name: string, check: () => string[] | Promise<string[]>])[] = [
  ['lock file', checkLockfile],
  ['packages', checkPackages],
  ['release', () => checkRelease(write)],
  ['error codes', () => [...unsortedCodes(Object.keys(errorCatalogue)), ...checkErrorCodes(write)]],
  ['option tables', () => checkOptionTables(write)],
  ['readmes of techniques', checkTechniqueReadmes],
  ['links of documents', checkDocumentLinks],
  ['code blocks', checkCodeBlocks],
  ['snippets', checkSnippets],
  ['line budgets', checkLineBudgets],
  ['forbidden words', checkForbiddenWords],
];

let count = 0;
for (const [name, check] of checks) {
  const problems = await check();
  count += problems.length;
  process.stdout.write(`${problems.length === 0 ? 'ok     ' : 'FAILED '} ${name}\n${problems.map((problem) => `  ${problem}\n`).join('')}`);
}
process.exitCode = count === 0 ? 0 : 1;
