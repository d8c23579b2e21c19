/**
 * Marks exactly `count` of the smallest scores as pruned: mask 0 for them, 1 for the others. Of equal scores the one with the lower index is pruned first.
 * @param scores not NaN; only read
 * @param mask written from `offset` on, one byte a score
 * @param scratch at least as long as the scores; overwritten
 */
export function pruneSmallest(scores: Float32Array, count: number, mask: Uint8Array, offset = 0, scratch = new Float32Array(scores.length)): void {
  const { length } = scores;
  if (count <= 0 || count >= length) {
    mask.fill(count <= 0 ? 1 : 0, offset, offset + length);
    return;
  }
  const work = scratch.subarray(0, length);
  work.set(scores);
  const threshold = selectNth(work, count - 1);
  let below = 0;
  for (let index = 0; index < length; index++) if (scores[index]! < threshold) below += 1;
  let ties = count - below;
  for (let index = 0; index < length; index++) {
    const score = scores[index]!;
    const pruned = score < threshold || (score === threshold && ties > 0);
    if (pruned && score === threshold) ties -= 1;
    mask[offset + index] = pruned ? 0 : 1;
  }
}

/** Value at place n (from 0) of the ascending order. Reorders the values: Hoare's FIND with the median of three as pivot, and sorting what is left when that goes badly. */
export function selectNth(values: Float32Array, n: number): number {
  let low = 0;
  let high = values.length - 1;
  for (let rounds = 2 * Math.ceil(Math.log2(values.length + 1)); low < high; rounds--) {
    if (rounds === 0) {
      values.subarray(low, high + 1).sort();
      break;
    }
    const pivot = medianOfThree(values[low]!, values[(low + high) >> 1]!, values[high]!);
    let left = low;
    let right = high;
    while (left <= right) {
      while (values[left]! < pivot) left += 1;
      while (values[right]! > pivot) right -= 1;
      if (left > right) break;
      const value = values[left]!;
      values[left++] = values[right]!;
      values[right--] = value;
    }
    if (n <= right) high = right;
    else if (n >= left) low = left;
    else break;
  }
  return values[n]!;
}

function medianOfThree(a: number, b: number, c: number): number {
  return Math.max(Math.min(a, b), Math.min(Math.max(a, b), c));
}
