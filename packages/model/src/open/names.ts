/** From a tensor name of the description to the name it is stored under. */
export type StoredName = (name: string) => string;

/**
 * Finds how a checkpoint spells the description's names: as they are; without the architecture's base prefix, as models saved without a
 * head have them (`wte.weight` for `transformer.wte.weight`); or below a wrapper (`language_model.model.…`).
 *
 * @param anchor A tensor that every checkpoint of the model has: the token embedding.
 */
export function matchNames(anchor: string, basePrefix: string | undefined, stored: readonly string[]): StoredName {
  const present = new Set(stored);
  if (present.has(anchor)) return (name) => name;
  if (basePrefix !== undefined && anchor.startsWith(basePrefix) && present.has(anchor.slice(basePrefix.length))) {
    return preferring(present, (name) => (name.startsWith(basePrefix) ? name.slice(basePrefix.length) : name));
  }
  const wrapped = stored.filter((name) => name.endsWith(`.${anchor}`));
  if (wrapped.length === 1) {
    const wrapper = wrapped[0]!.slice(0, -anchor.length);
    return preferring(present, (name) => wrapper + name);
  }
  return (name) => name;
}

/** The changed name unless only the plain one is present: heads often stand outside the prefix. */
function preferring(present: ReadonlySet<string>, change: StoredName): StoredName {
  return (name) => (!present.has(change(name)) && present.has(name) ? name : change(name));
}
