import { evaluateArithmetic } from './arithmetic.js';

/** How answers are compared. */
export type Comparison = 'auto' | 'text' | 'number';

/** Two numbers are the same answer when they are this near. */
const tolerance = 1e-6;

/** True when two answers say the same. @param gold the right one, which decides in `auto` whether they are numbers */
export function sameAnswer(found: string, gold: string, comparison: Comparison): boolean {
  const expected = comparison === 'text' ? undefined : valueOf(gold);
  if (expected === undefined) return comparison !== 'number' && plainText(found) === plainText(gold);
  const value = firstNumber(found);
  return value !== undefined && Math.abs(value - expected) <= tolerance;
}

/** The answer that occurs most; of several the one that came first. Undefined for none. */
export function majority(answers: readonly string[], comparison: Comparison): string | undefined {
  let [best, most] = [undefined as string | undefined, 0];
  for (const answer of answers) {
    const count = answers.filter((other) => sameAnswer(other, answer, comparison)).length;
    if (count > most) [best, most] = [answer, count];
  }
  return best;
}

/** Value of a whole text that is a number or an equation's side. */
function valueOf(text: string): number | undefined {
  return evaluateArithmetic(withoutCommas(text).trim().replace(/^\+/, ''));
}

function firstNumber(text: string): number | undefined {
  const [number] = /-?\d+(?:\.\d+)?/.exec(withoutCommas(text)) ?? [];
  return number === undefined ? undefined : Number(number);
}

/** 1,234 → 1234. */
function withoutCommas(text: string): string {
  return text.replaceAll(/(\d),(?=\d{3})/g, '$1');
}

/** Without case, white space at the ends, and a full stop. */
function plainText(text: string): string {
  return text.trim().replace(/\.$/, '').trimEnd().toLowerCase().replaceAll(/\s+/g, ' ');
}
