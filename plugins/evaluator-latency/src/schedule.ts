import type { PromptSamples, Schedule } from './protocol.js';

/** A decoder with a cache. */
export interface Decoder {
  /** Runs a prompt through the model from an empty cache. */
  prefill(promptLength: number): Promise<void>;
  /** Chooses the next token of every sequence from the last logits. */
  choose(): void;
  /** Runs the chosen tokens through the model, behind the cache. */
  step(): Promise<void>;
}

/** Fewest counted runs of a prompt length, unless fewer were asked for. */
const fewestRuns = 3;

/**
 * Times a decoder: for each prompt length warm-ups, then runs. A run is a prompt and `newTokens` steps after the first token; a step ends when its token is chosen.
 * @param clock milliseconds
 */
export async function runSchedule(
  decoder: Decoder,
  { promptLengths, newTokens, warmups, runs, maximumSeconds }: Schedule,
  clock: () => number,
  onRun: (completed: number, total: number, detail: string) => void,
): Promise<PromptSamples[]> {
  const total = promptLengths.length * (warmups + runs);
  const results: PromptSamples[] = [];
  for (const [index, promptLength] of promptLengths.entries()) {
    const prefill: number[] = [];
    const firstToken: number[] = [];
    const steps: number[][] = [];
    let begin = clock();
    for (let run = -warmups; run < runs; run++) {
      if (run === 0) begin = clock();
      if (run >= fewestRuns && clock() - begin >= 1000 * maximumSeconds) break;
      const start = clock();
      await decoder.prefill(promptLength);
      const ready = clock();
      decoder.choose();
      let last = clock();
      const [prefillTime, firstTime] = [ready - start, last - start];
      const times: number[] = [];
      for (let token = 0; token < newTokens; token++) {
        await decoder.step();
        decoder.choose();
        const now = clock();
        times.push(now - last);
        last = now;
      }
      if (run >= 0) {
        prefill.push(prefillTime);
        firstToken.push(firstTime);
        steps.push(times);
      }
      onRun(index * (warmups + runs) + warmups + run + 1, total, `${run < 0 ? 'warm-up' : 'run'} with a prompt of ${String(promptLength)} tokens`);
    }
    results.push({ promptLength, prefill, firstToken, steps });
  }
  return results;
}
