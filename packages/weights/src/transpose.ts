import type { TypedArray } from '@pare/core';

/** [rows, columns] row-major to [columns, rows], in tiles that stay in cache. */
export function transposeArray<T extends TypedArray>(source: T, rows: number, columns: number): T {
  const target = source.slice() as T;
  const tile = 32;
  for (let top = 0; top < rows; top += tile) {
    const bottom = Math.min(rows, top + tile);
    for (let left = 0; left < columns; left += tile) {
      const right = Math.min(columns, left + tile);
      for (let row = top; row < bottom; row++) for (let column = left; column < right; column++) target[column * rows + row] = source[row * columns + column]!;
    }
  }
  return target;
}
