import { readFileSync } from 'node:fs';
import { runCommandLine } from './run.js';
import { printError } from './terminal/print-error.js';
import { createTerminal } from './terminal/terminal.js';

const { argv, stdout, stderr, env } = process;
const words = argv.slice(2);

// `pare plugins | head` closes our output early; that is no error.
stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code === 'EPIPE') process.exit(0);
  throw error;
});

// Something thrown where nobody waits for it: a defect, told like any other.
process.on('uncaughtException', (error) => {
  const terminal = createTerminal(stdout, stderr, env, { color: !words.includes('--no-color'), json: words.includes('--json'), quiet: false, debug: words.includes('--debug') });
  process.exit(printError(error, terminal));
});

const { version } = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8')) as { version: string };

process.exitCode = await runCommandLine(words, { stdout, stderr, env, cwd: process.cwd(), version });
