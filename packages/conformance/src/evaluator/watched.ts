/** An object like another, with some methods told of before they run. */
export function watched<T extends object>(value: T, methods: readonly string[], onCall: (method: string) => void): T {
  return new Proxy(value, {
    get(target, key) {
      const member: unknown = Reflect.get(target, key, target);
      if (typeof member !== 'function') return member;
      return (...args: unknown[]): unknown => {
        if (typeof key === 'string' && methods.includes(key)) onCall(key);
        return Reflect.apply(member, target, args);
      };
    },
  });
}
