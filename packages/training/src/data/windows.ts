/** A text to learn from. */
export interface TrainingExample {
  readonly ids: Int32Array;
  /** 1 for tokens to be predicted, 0 for those that are only read, such as a prompt; all by default. */
  readonly mask?: Uint8Array | undefined;
}

/** A row of tokens of the length that a model is trained with. */
export interface TrainingWindow {
  readonly ids: Int32Array;
  readonly mask: Uint8Array;
}

/** A prompt that is read and an answer that is learnt. */
export function promptExample(prompt: Int32Array, answer: Int32Array): TrainingExample {
  const ids = new Int32Array(prompt.length + answer.length);
  ids.set(prompt);
  ids.set(answer, prompt.length);
  return { ids, mask: Uint8Array.from(ids, (_, position) => (position < prompt.length ? 0 : 1)) };
}

export interface PackingOptions {
  readonly length: number;
  /** Token between two examples, itself to be predicted: how a model learns to stop. */
  readonly separator?: number | undefined;
}

/**
 * Examples one behind another, cut into windows without padding; what is left at the end is dropped. An example sees those before it in its window, as in the usual
 * pre-training. The first token of a window is predicted by nothing.
 */
export function packExamples(examples: Iterable<TrainingExample>, { length, separator }: PackingOptions): TrainingWindow[] {
  checkLength(length);
  const windows: TrainingWindow[] = [];
  let [ids, mask, filled] = [new Int32Array(length), new Uint8Array(length), 0];
  const put = (token: number, counts: number): void => {
    ids[filled] = token;
    mask[filled] = counts;
    if (++filled < length) return;
    windows.push({ ids, mask });
    [ids, mask, filled] = [new Int32Array(length), new Uint8Array(length), 0];
  };
  for (const example of examples) {
    checkMask(example);
    for (const [position, token] of example.ids.entries()) put(token, example.mask?.[position] ?? 1);
    if (separator !== undefined) put(separator, 1);
  }
  return windows;
}

export interface PaddingOptions {
  readonly length: number;
  readonly padding: number;
  /** Token behind each example that fits, to be predicted. */
  readonly end?: number | undefined;
}

/** One example a window, filled up with padding that is not predicted. Longer ones are cut at the end; those of which then nothing is to be predicted are dropped. */
export function padExamples(examples: Iterable<TrainingExample>, { length, padding, end }: PaddingOptions): TrainingWindow[] {
  checkLength(length);
  const windows: TrainingWindow[] = [];
  for (const example of examples) {
    checkMask(example);
    const ids = new Int32Array(length).fill(padding);
    const mask = new Uint8Array(length);
    const kept = Math.min(length, example.ids.length);
    ids.set(example.ids.subarray(0, kept));
    if (example.mask === undefined) mask.fill(1, 0, kept);
    else mask.set(example.mask.subarray(0, kept));
    if (end !== undefined && kept < length) {
      ids[kept] = end;
      mask[kept] = 1;
    }
    if (mask.subarray(1).some((counts) => counts === 1)) windows.push({ ids, mask });
  }
  return windows;
}

function checkLength(length: number): void {
  if (!Number.isInteger(length) || length < 2) throw new RangeError(`windows of ${String(length)} tokens; allowed: whole numbers from 2`);
}

function checkMask({ ids, mask }: TrainingExample): void {
  if (mask !== undefined && mask.length !== ids.length) throw new RangeError(`a mask of ${String(mask.length)} for ${String(ids.length)} tokens`);
}
