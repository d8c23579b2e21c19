import { rougeOfWords } from '@pare/evaluation';

/** ROUGE-L of a text against a reference (Lin, 2004, §3.1). Words are runs of letters and digits in lower case; nothing is stemmed. */
export function rougeL(text: string, reference: string): number {
  return rougeOfWords(wordsOf(text), wordsOf(reference));
}

function wordsOf(text: string): string[] {
  return text.toLowerCase().match(/[\p{L}\p{N}]+/gu) ?? [];
}
