import { createRandom, type TextSource } from '@pare/core';

const words = 'the of and to in is was he for it with as his on be at by had not are but from or have an they which one you were all her she there would their'.split(' ');

/** Sentences of frequent words, the same for the same seed. */
export function sampleText(characters: number, seed = 1): string {
  const random = createRandom(seed);
  let text = '';
  while (text.length < characters) {
    const sentence = Array.from({ length: 4 + Math.floor(random() * 9) }, () => words[Math.floor(random() * words.length)]!).join(' ');
    text += `${sentence[0]!.toUpperCase()}${sentence.slice(1)}.${random() < 0.2 ? '\n' : ' '}`;
  }
  return text.slice(0, characters);
}

/** A text in memory. */
export function memoryText(text: string, name = 'memory'): TextSource {
  return { name, text: () => Promise.resolve(text) };
}
