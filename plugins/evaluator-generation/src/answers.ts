import type { GenerationOptions } from './options.js';

const number = /-?\d[\d,]*(?:\.\d+)?/g;

/** The answer in a text, or undefined where the text has none of the kind asked for. */
export function extractAnswer(text: string, reference: string, { extraction, answerPattern }: Pick<GenerationOptions, 'extraction' | 'answerPattern'>): string | undefined {
  const marked = (): string | undefined => lastMatch(text, new RegExp(answerPattern, 'gi'))?.trim();
  const lastNumber = (): string | undefined => text.match(number)?.at(-1);
  const isNumber = numberOf(reference) !== undefined;
  switch (extraction) {
    case 'text':
      return text.trim();
    case 'pattern':
      return marked();
    case 'last-number':
      return lastNumber();
    case 'auto': {
      const answer = marked() ?? (isNumber ? lastNumber() : text.trim().split('\n')[0]);
      // "The answer is 12 apples." asks for its number where the reference is one.
      return isNumber && answer !== undefined && numberOf(answer) === undefined ? (answer.match(number)?.[0] ?? answer) : answer;
    }
  }
}

/** The first group of the last match. Matches may overlap: the rest of a line may hold another answer. */
function lastMatch(text: string, pattern: RegExp): string | undefined {
  let found: string | undefined;
  for (let match = pattern.exec(text); match !== null; match = pattern.exec(text)) {
    found = match[1];
    pattern.lastIndex = match.index + 1;
  }
  return found;
}

/** Equal as numbers (1,200 is 1200.0), or as texts apart from case, white space and punctuation around them. */
export function sameAnswer(answer: string, reference: string): boolean {
  const [left, right] = [numberOf(answer), numberOf(reference)];
  return left !== undefined && right !== undefined ? left === right : plain(answer) === plain(reference);
}

function plain(text: string): string {
  return text
    .normalize('NFKC')
    .toLowerCase()
    .replace(/\s+/g, ' ')
    .replace(/^[\s"'“”‘’($]+|[\s"'“”‘’).,!?;:]+$/g, '');
}

function numberOf(text: string): number | undefined {
  const bare = plain(text).replace(/%$/, '');
  return /^-?\d[\d,]*(\.\d+)?$/.test(bare) ? Number(bare.replaceAll(',', '')) : undefined;
}
