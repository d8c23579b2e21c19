import { runCommandLine } from '@pare/cli';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { root } from '../workspace.js';
import { badInputs, type BadInput } from './cases.js';

/** What the command answered. */
export interface Answer {
  readonly exitCode: number | null;
  readonly stdout: string;
  readonly stderr: string;
  /** Files of the working folder before and after, relative to it. */
  readonly before: readonly string[];
  readonly after: readonly string[];
}

// Nobody answers there.
process.env['HF_ENDPOINT'] = 'http://127.0.0.1:9';

/** Runs the command in a folder, in this process: starting one takes longer than most answers. */
export async function runCommand(folder: string, args: readonly string[]): Promise<Pick<Answer, 'exitCode' | 'stdout' | 'stderr'>> {
  const written = { stdout: '', stderr: '' };
  const stream = (name: keyof typeof written) => ({
    write: (text: string) => {
      written[name] += text;
      return true;
    },
  });
  const env = { ...process.env, NO_COLOR: '1', PARE_PLUGINS: join(folder, 'plugins') };
  const exitCode = await runCommandLine(args, { stdout: stream('stdout'), stderr: stream('stderr'), env, cwd: folder, version: '0.0.0' });
  return { exitCode, ...written };
}

/** Makes the mistake in a fresh folder. */
export async function answerTo(input: BadInput): Promise<Answer> {
  const folder = mkdtempSync(join(tmpdir(), 'pare-bad-input-'));
  try {
    const args = input.prepare(folder);
    const list = (): string[] => (readdirSync(folder, { recursive: true }) as string[]).sort();
    const before = list();
    const answer = await runCommand(folder, args);
    return { ...answer, stderr: answer.stderr.replaceAll(`${folder}/`, '').replaceAll(folder, '.'), before, after: list() };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** A markdown table of every mistake and what it was told. */
export async function badInputTable(): Promise<string> {
  const rows = ['| input | message |', '|---|---|'];
  for (const input of badInputs) {
    const { stderr } = await answerTo(input);
    const lines = stderr
      .trim()
      .split('\n')
      .map((line) => line.trim());
    const start = lines.findIndex((line) => line.startsWith('PARE_'));
    const [first = '', ...rest] = lines.slice(Math.max(0, start));
    const [code, ...message] = first.split(' ');
    const cell = [`\`${code ?? ''}\` ${message.join(' ')}`, rest.join(' ')].filter((part) => part !== '').join('<br>');
    rows.push(`| ${input.name} | ${cell.replaceAll('|', '\\|').replaceAll(root, '…')} |`);
  }
  return rows.join('\n');
}
