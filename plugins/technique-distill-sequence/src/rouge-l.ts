import { rougeOfWords } from '@pare/evaluation';

/** ROUGE-L of two answers (Lin, 2004), from 0 to 1. Words are what white space separates, punctuation included, letters without case: answers that differ in a sign are not equal. */
export function rougeL(left: string, right: string): number {
  const [a, b] = [words(left), words(right)];
  return a.length === 0 && b.length === 0 ? 1 : rougeOfWords(a, b);
}

function words(text: string): string[] {
  return text.toLowerCase().split(/\s+/).filter(Boolean);
}
