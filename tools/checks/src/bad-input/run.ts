import { spawn } from 'node:child_process';
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

/** The built command. */
export const command = join(root, 'apps/cli/dist/main.js');

/** Runs the command in a folder. */
export async function runCommand(folder: string, args: readonly string[]): Promise<Pick<Answer, 'exitCode' | 'stdout' | 'stderr'>> {
  const child = spawn(process.execPath, [command, ...args], { cwd: folder, env: { ...process.env, NO_COLOR: '1', PARE_PLUGINS: join(folder, 'plugins'), HF_ENDPOINT: 'http://127.0.0.1:9' }, stdio: ['ignore', 'pipe', 'pipe'] });
  const out: Buffer[] = [];
  const err: Buffer[] = [];
  child.stdout.on('data', (chunk: Buffer) => out.push(chunk));
  child.stderr.on('data', (chunk: Buffer) => err.push(chunk));
  const exitCode = await new Promise<number | null>((resolve) => child.on('close', resolve));
  return { exitCode, stdout: Buffer.concat(out).toString(), stderr: Buffer.concat(err).toString() };
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
