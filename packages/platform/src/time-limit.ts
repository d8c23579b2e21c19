/** Says that work took longer than its limit. */
export class TimeLimitError extends Error {}

/** The result of some work, or TimeLimitError when it takes too long. The work itself goes on: promises cannot be stopped. */
export async function withTimeLimit<T>(work: Promise<T>, seconds: number): Promise<T> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const limit = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => {
      reject(new TimeLimitError());
    }, seconds * 1000);
  });
  try {
    return await Promise.race([work, limit]);
  } finally {
    clearTimeout(timer);
  }
}
