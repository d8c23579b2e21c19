import { expect, it } from 'vitest';
import { prefetch } from './prefetch.js';

it('loads the first item at once and the next when one is taken, in order', async () => {
  const asked: string[] = [];
  const loaded = prefetch(['a', 'b'], (item) => {
    asked.push(item);
    return Promise.resolve(item.toUpperCase());
  });
  expect(asked).toEqual(['a']);
  expect(await loaded.next()).toBe('A');
  expect(asked).toEqual(['a', 'b']);
  expect(await loaded.next()).toBe('B');
  await expect(loaded.next()).rejects.toThrow('there are only 2 items');
});

it('reports a failure to whoever takes the item', async () => {
  const loaded = prefetch([1, 2], (item) => (item === 2 ? Promise.reject(new Error('gone')) : Promise.resolve(item)));
  expect(await loaded.next()).toBe(1);
  await new Promise((resolve) => setTimeout(resolve, 1));
  await expect(loaded.next()).rejects.toThrow('gone');
});
