import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { runCommandLine } from '../run.js';

let folder: string;

/** A safetensors file of tensors that hold nothing but zeros. */
function safetensors(tensors: Readonly<Record<string, number>>): Buffer {
  let end = 0;
  const header = Object.fromEntries(Object.entries(tensors).map(([name, bytes]) => [name, { dtype: 'U8', shape: [bytes], data_offsets: [end, (end += bytes)] }]));
  const text = Buffer.from(JSON.stringify(header));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(text.length));
  return Buffer.concat([length, text, Buffer.alloc(end)]);
}

function writeRun(name: string, perplexity: number, bytes: number): void {
  const directory = join(folder, name);
  mkdirSync(directory);
  writeFileSync(
    join(directory, 'pare.json'),
    JSON.stringify({
      pare: 1,
      recipe: { version: 1, name, stages: [{ technique: 'rtn', options: { bits: 4 } }] },
      seed: 0,
      source: { name: 'tiny', files: [{ path: 'model.safetensors', bytes: 1000, sha256: 'aa' }] },
      backend: 'cpu',
      plugins: [],
      stages: [{ technique: 'rtn', modules: [{ module: 'model.layers.0.mlp.up_proj', bits: 4, loss: 0.5 }] }],
      formats: [],
      metrics: { before: { perplexity: 10, bytes: 1000 }, after: { perplexity, bytes } },
    }),
  );
  writeFileSync(join(directory, 'model.safetensors'), safetensors({ 'model.layers.0.mlp.up_proj.weight_packed': bytes - 100, 'model.embed_tokens.weight': 100 }));
}

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'pare-report-'));
  writeRun('w8', 10.1, 600);
  writeRun('w4', 11, 300);
  mkdirSync(join(folder, 'w8.d'));
  writeFileSync(join(folder, 'measured.json'), JSON.stringify({ model: 'w4', metrics: { accuracy: 0.75 }, backend: 'cpu', evaluations: [] }));
});

afterAll(() => {
  rmSync(folder, { recursive: true, force: true });
});

async function pare(...args: readonly string[]): Promise<{ exitCode: number; stdout: string; stderr: string }> {
  let stdout = '';
  let stderr = '';
  const exitCode = await runCommandLine(args, {
    stdout: { write: (text: string) => ((stdout += text), true) },
    stderr: { write: (text: string) => ((stderr += text), true) },
    env: {},
    cwd: folder,
    version: '0.0.0',
  });
  return { exitCode, stdout, stderr };
}

const read = (name: string): string => readFileSync(join(folder, name), 'utf8');

describe('pare report', () => {
  it('writes one page about several results', async () => {
    expect(await pare('report', 'w8', './w4/', 'measured.json')).toEqual({ exitCode: 0, stdout: 'written  report.html\n', stderr: '' });
    const page = read('report.html');
    expect(page).toMatch(/^<!doctype html>/);
    expect(page).toContain('2 runs of tiny compared');
    expect(page).toContain('0.750');
    expect(page).toContain('codes 200 B, embedding, dense 100 B');
  });

  it('writes each format to a file of its own', async () => {
    const { exitCode, stdout } = await pare('report', 'w8', 'w4', '--output', 'all.html', '--format', 'html,md,json,csv', '--title', 'Mine');
    expect([exitCode, stdout]).toEqual([0, 'written  all.html\nwritten  all.md\nwritten  all.json\nwritten  all.csv\n']);
    expect(read('all.md')).toMatch(/^# Mine\n/);
    expect(read('all.csv')).toContain('w4,compressed,"rtn, 4 bits",11,300');
    expect(JSON.parse(read('all.json'))).toMatchObject({ pareReport: 1, title: 'Mine' });
  });

  it.each([
    [['--output', 'a.csv'], 'a.csv'],
    [['--output', 'b', '--format', 'md'], 'b.md'],
    [['--output', 'c.txt', '--format', 'md'], 'c.txt'],
    [['--output', 'd.html', '--format', 'md'], 'd.md'],
    [['--output', 'v1.2'], 'v1.2'],
  ])('with %j writes %s', async (words, file) => {
    expect((await pare('report', 'w4', ...words)).stdout).toBe(`written  ${file}\n`);
    expect(existsSync(join(folder, file))).toBe(true);
  });

  it('prints the document with --json', async () => {
    const { stdout } = await pare('report', 'w4', '--output', 'e.html', '--json');
    expect(JSON.parse(stdout)).toMatchObject({ files: ['e.html'], report: { pareReport: 1 } });
  });

  it.each([
    ['a path that is not there', ['nowhere'], 'PARE_FILE_UNREADABLE cannot read nowhere: no such file or folder'],
    ['a folder that Pare did not write', ['.'], 'PARE_REPORT_INPUT_INVALID'],
    ['a file that is no JSON', ['w4/model.safetensors'], 'PARE_REPORT_INPUT_INVALID w4/model.safetensors is no result: it is no JSON'],
    ['an unknown format', ['w4', '--format', 'htm'], 'Did you mean "html"?'],
    ['no result', [], 'PARE_COMMAND_INVALID'],
    ['an output that is a folder', ['w4', '--output', 'w8.d'], 'PARE_FILE_UNWRITABLE cannot write w8.d'],
    ['an output in no folder', ['w4', '--output', 'none/r.html'], 'PARE_FILE_UNWRITABLE cannot write none/r.html'],
  ])('refuses %s', async (_name, words, message) => {
    const { exitCode, stderr } = await pare('report', ...words);
    expect(exitCode).toBe(2);
    expect(stderr).toContain(message);
  });
});

describe('pare compare', () => {
  it('prints an aligned table with the best values marked', async () => {
    const { exitCode, stdout, stderr } = await pare('compare', 'w8', 'w4');
    expect([exitCode, stderr]).toEqual([0, '']);
    expect(stdout.split('\n')).toEqual([
      '               Perplexity    Weights',
      'tiny                   10     1000 B',
      'w8                ★ 10.10      600 B',
      '  rtn, 4 bits    ▼ +1.0 %  ▲ −40.0 %',
      'w4                     11    ★ 300 B',
      '  rtn, 4 bits   ▼ +10.0 %  ▲ −70.0 %',
      '',
      '▲ better, ▼ worse than the original; ★ best of the runs.',
      '',
    ]);
  });

  it('prints the document with --json', async () => {
    const { stdout } = await pare('compare', 'w8', 'w4', '--json');
    expect(JSON.parse(stdout)).toMatchObject({ pareReport: 1, plots: [{ quality: { name: 'perplexity' } }] });
  });
});
