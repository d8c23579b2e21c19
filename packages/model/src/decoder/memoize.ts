/** Remembers results by the JSON of the argument. */
export function memoize<A, R>(compute: (argument: A) => R): (argument: A) => R {
  const results = new Map<string, R>();
  return (argument) => {
    const key = JSON.stringify(argument);
    const known = results.get(key);
    if (known !== undefined) return known;
    const result = compute(argument);
    results.set(key, result);
    return result;
  };
}
