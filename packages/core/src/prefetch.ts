/** Loads items in order, the first at once, each next one while the last is worked on. What was loaded and is not taken any more, after a failure elsewhere, is no error of its own. */
export function prefetch<T, R>(items: readonly T[], load: (item: T) => Promise<R>): { next(): Promise<R> } {
  let index = 0;
  const start = (): Promise<R> | undefined => {
    if (index === items.length) return undefined;
    const loading = load(items[index++]!);
    // Reported by whoever takes it.
    loading.catch(() => undefined);
    return loading;
  };
  let pending = start();
  return {
    async next() {
      if (pending === undefined) throw new RangeError(`there are only ${String(items.length)} items`);
      const value = await pending;
      pending = start();
      return value;
    },
  };
}
