import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { describe, expect, it } from 'vitest';

const run = promisify(execFile);
const command = fileURLToPath(new URL('../dist/main.js', import.meta.url));
const root = (path: string): string => fileURLToPath(new URL(`../../../${path}`, import.meta.url));

interface Figures {
  readonly perplexity: number;
  readonly accuracy: number;
  readonly logProbabilities: readonly (readonly number[])[];
}
type Golden = Readonly<Record<'tales-7m' | 'tales-1m', Figures>> & { readonly windows: number; readonly sequenceLength: number; readonly items: number };
const golden = JSON.parse(readFileSync(fileURLToPath(new URL('../golden/short-set.json', import.meta.url)), 'utf8')) as Golden;

interface Document {
  readonly metrics: Readonly<Record<string, number>>;
  readonly evaluations: readonly { readonly evaluator: string; readonly details: { readonly items?: readonly { readonly logProbabilities: readonly number[] }[] } }[];
}

describe.each(['cpu', 'reference'])('on %s', (backend) => {
  it.each(['tales-7m', 'tales-1m'] as const)('%s has the perplexity and the choices that transformers gives it', async (model) => {
    const { windows, sequenceLength, items } = golden;
    const settings = { 'perplexity.samples': windows, 'perplexity.sequenceLength': sequenceLength, 'multiple-choice.samples': items };
    const { stdout } = await run(process.execPath, [
      command,
      ...['evaluate', root(`examples/models/${model}`), '--backend', backend, '--evaluator', 'perplexity,multiple-choice', '--no-cache', '--json'],
      ...['--data', root('examples/data/tales-evaluation.txt'), '--items', root('examples/data/reasoning-evaluation.jsonl')],
      ...Object.entries(settings).flatMap(([name, value]) => ['--set', `${name}=${String(value)}`]),
    ]);
    const { metrics, evaluations } = JSON.parse(stdout) as Document;
    const expected = golden[model];
    expect(Math.abs(metrics['perplexity']! - expected.perplexity)).toBeLessThan(1e-3);
    expect(metrics['accuracy']).toBe(expected.accuracy);
    const scores = evaluations.find(({ evaluator }) => evaluator === 'multiple-choice')!.details.items!.map(({ logProbabilities }) => logProbabilities);
    expect(scores.map(({ length }) => length)).toEqual(expected.logProbabilities.map(({ length }) => length));
    for (const [item, row] of scores.entries()) for (const [choice, value] of row.entries()) expect(Math.abs(value - expected.logProbabilities[item]![choice]!)).toBeLessThan(1e-3);
  }, 120_000);
});
