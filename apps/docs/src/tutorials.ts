import { fencedBlocks, fileOf, isShownOnly, root, shellCommands } from '@pare/checks';
import { spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, dirname, join } from 'node:path';

/** What a reader of a tutorial does, in the order of the page. */
export type TutorialStep =
  | { readonly kind: 'file'; readonly line: number; readonly name: string; readonly text: string }
  /** `fails`: the command is to be refused. `expected`: what it prints has to contain, in this order. */
  | { readonly kind: 'commands'; readonly line: number; readonly text: string; readonly fails: boolean; readonly expected: readonly string[] };

/**
 * The steps of a tutorial. Blocks with a name in brackets are files; `sh` blocks are run; a `text output` block behind one says what it prints. Blocks marked `sh shown` are not run: each of
 * their commands has to be in the list of those that nothing can run.
 * @throws when a block is none of these
 */
export function tutorialSteps(document: string, markdown: string): TutorialStep[] {
  const steps: TutorialStep[] = [];
  for (const block of fencedBlocks(document, markdown)) {
    const { line, language, info, text } = block;
    const fail = (problem: string): never => {
      throw new Error(`${document}:${String(line)}: ${problem}`);
    };
    const name = fileOf(block);
    if (name !== undefined) steps.push({ kind: 'file', line, name, text });
    else if (language === 'sh' && info === 'shown') {
      for (const words of shellCommands(text)) if (!isShownOnly(words)) fail(`"${words.join(' ')}" is shown and could be run`);
    } else if (language === 'sh') steps.push({ kind: 'commands', line, text, fails: info === 'fails', expected: [] });
    else if (language === 'text' && info === 'output') {
      const before = steps.at(-1);
      if (before?.kind !== 'commands') return fail('an output without a command before it');
      steps[steps.length - 1] = { ...before, expected: text.split('\n') };
    } else if (language !== 'ts') fail(`a block of "${language}" that is neither a file nor a command`);
  }
  return steps;
}

/** Lines that the output lacks, in this order. Blanks count as one, and lines may go on; `…` at the end says so where it would surprise. */
export function missingLines(output: string, expected: readonly string[]): string[] {
  const squeeze = (text: string): string => text.trim().replaceAll(/\s+/g, ' ');
  const lines = output.split('\n').map(squeeze);
  let position = 0;
  return expected.filter((line) => {
    const found = lines.findIndex((candidate, index) => index >= position && candidate.includes(squeeze(line).replace(/…$/, '')));
    if (found === -1) return true;
    position = found;
    return false;
  });
}

/** Runs a tutorial in an empty folder in which `pare`, the packages and the examples are at hand. Returns what went otherwise than the page says. */
export async function runTutorial(document: string): Promise<string[]> {
  const steps = tutorialSteps(document, readFileSync(join(root, document), 'utf8'));
  const folder = mkdtempSync(join(tmpdir(), 'pare-tutorial-'));
  try {
    symlinkSync(join(root, 'node_modules'), join(folder, 'node_modules'), 'junction');
    symlinkSync(join(root, 'examples'), join(folder, 'examples'), 'junction');
    writeFileSync(join(folder, 'package.json'), '{ "type": "module", "private": true }');
    const programs = join(folder, '.bin');
    mkdirSync(programs);
    writeFileSync(join(programs, 'pare'), `#!/bin/sh\nexec "${process.execPath}" "${join(root, 'apps/cli/bin/pare.js')}" "$@"\n`, { mode: 0o755 });
    for (const step of steps) {
      const where = `${document}:${String(step.line)}`;
      if (step.kind === 'file') {
        mkdirSync(dirname(join(folder, step.name)), { recursive: true });
        writeFileSync(join(folder, step.name), `${step.text}\n`);
        continue;
      }
      const { code, output } = await shell(step.text, folder, programs);
      if ((code !== 0) !== step.fails) return [`${where}: exit code ${String(code)}\n${output}`];
      const missing = missingLines(output, step.expected);
      if (missing.length > 0) return [`${where}: the output lacks ${missing.map((line) => `"${line}"`).join(', ')}\n${output}`];
    }
    return [];
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

function shell(text: string, cwd: string, programs: string): Promise<{ readonly code: number | null; readonly output: string }> {
  return new Promise((resolve, reject) => {
    const env = { ...process.env, NO_COLOR: '1', FORCE_COLOR: undefined, PATH: `${programs}${delimiter}${process.env['PATH'] ?? ''}`, PARE_CACHE: join(cwd, '.cache') };
    const child = spawn('bash', ['-e', '-c', text], { cwd, env, stdio: ['ignore', 'pipe', 'pipe'] });
    let output = '';
    for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk: Buffer) => (output += chunk.toString()));
    child.on('error', reject);
    child.on('close', (code) => resolve({ code, output }));
  });
}

/** All tutorials, relative to the root. */
export function tutorials(): string[] {
  return readdirSync(join(root, 'apps/docs/pages/tutorials'))
    .filter((file) => file.endsWith('.md'))
    .map((file) => `apps/docs/pages/tutorials/${file}`);
}
