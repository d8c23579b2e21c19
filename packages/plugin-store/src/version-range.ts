/** A version as numbers, and its pre-release tags in order; undefined for a text that is none. */
interface Version {
  readonly numbers: readonly [number, number, number];
  readonly tags: readonly string[];
}

interface Comparator {
  readonly operator: '<' | '<=' | '>' | '>=' | '=';
  readonly version: Version;
}

/**
 * Whether a version lies in a range as package.json writes them (Semantic Versioning 2.0.0; ranges of npm: `^1.2`, `~1.2.3`, `1.x`, `>=1 <3`, `1.2 - 2`, `a || b`).
 * A pre-release lies in a range only beside a pre-release of the same numbers. Undefined for a text that is no such range, such as a tag or an address.
 */
export function inRange(version: string, range: string): boolean | undefined {
  const parsed = parseVersion(version);
  if (parsed === undefined) return undefined;
  const alternatives = range.split('||').map(parseAlternative);
  if (alternatives.includes(undefined)) return undefined;
  return alternatives.some((comparators) => comparators!.every((comparator) => holds(parsed, comparator)) && allowsTags(parsed, comparators!));
}

function parseVersion(text: string): Version | undefined {
  const match = /^v?(\d+)\.(\d+)\.(\d+)(?:-([\w.-]+))?(?:\+[\w.-]+)?$/.exec(text.trim());
  if (match === null) return undefined;
  return { numbers: [Number(match[1]), Number(match[2]), Number(match[3])], tags: match[4]?.split('.') ?? [] };
}

function parseAlternative(text: string): readonly Comparator[] | undefined {
  const hyphen = /^\s*(\S+)\s+-\s+(\S+)\s*$/.exec(text);
  const words = hyphen === null ? text.trim().replace(/([<>=~^]+)\s+/g, '$1').split(/\s+/).filter((word) => word !== '') : [`>=${hyphen[1]!}`, `<=${hyphen[2]!}`];
  const parts = words.map(parseComparator);
  return parts.includes(undefined) ? undefined : parts.flatMap((part) => part!);
}

/** A word of a range as bounds: `^1.2` is `>=1.2.0 <2.0.0-0`. */
function parseComparator(word: string): readonly Comparator[] | undefined {
  const match = /^(\^|~>?|[<>]=?|=)?v?(\d+|[xX*])(?:\.(\d+|[xX*]))?(?:\.(\d+|[xX*]))?(?:-([\w.-]+))?(?:\+[\w.-]+)?$/.exec(word);
  if (match === null) return undefined;
  const [, operator = '', ...rest] = match;
  const given: number[] = [];
  for (const part of rest.slice(0, 3)) {
    if (part === undefined || /[xX*]/.test(part)) break;
    given.push(Number(part));
  }
  const [major = 0, minor = 0, patch = 0] = given;
  const tags = given.length === 3 ? (rest[3]?.split('.') ?? []) : [];
  const lowest: Version = { numbers: [major, minor, patch], tags };
  /** The first version after those that agree with the first `count` numbers; its tag 0 keeps its pre-releases out. */
  const after = (count: number): Version => ({ numbers: [0, 1, 2].map((index) => (index < count - 1 ? lowest.numbers[index]! : index === count - 1 ? lowest.numbers[index]! + 1 : 0)) as [number, number, number], tags: ['0'] });
  const from: Comparator = { operator: '>=', version: lowest };
  if (given.length === 0) return operator === '<' || operator === '>' ? [{ operator: '<', version: { numbers: [0, 0, 0], tags: ['0'] } }] : [];
  switch (operator) {
    case '^': {
      // Up to the first number that is not zero, as far as numbers are given.
      const first = given.findIndex((number) => number > 0);
      return [from, { operator: '<', version: after(first === -1 ? given.length : first + 1) }];
    }
    case '~':
    case '~>':
      return [from, { operator: '<', version: after(Math.min(given.length, 2)) }];
    case '>':
      return given.length === 3 ? [{ operator: '>', version: lowest }] : [{ operator: '>=', version: { ...after(given.length), tags: [] } }];
    case '<=':
      return given.length === 3 ? [{ operator: '<=', version: lowest }] : [{ operator: '<', version: after(given.length) }];
    case '<':
      return [{ operator: '<', version: given.length === 3 ? lowest : { ...lowest, tags: ['0'] } }];
    case '>=':
      return [from];
    default:
      return given.length === 3 ? [{ operator: '=', version: lowest }] : [from, { operator: '<', version: after(given.length) }];
  }
}

function holds(version: Version, { operator, version: bound }: Comparator): boolean {
  const order = compare(version, bound);
  switch (operator) {
    case '<':
      return order < 0;
    case '<=':
      return order <= 0;
    case '>':
      return order > 0;
    case '>=':
      return order >= 0;
    case '=':
      return order === 0;
  }
}

function allowsTags({ numbers, tags }: Version, comparators: readonly Comparator[]): boolean {
  return tags.length === 0 || comparators.some(({ version }) => version.tags.length > 0 && version.numbers.every((number, index) => number === numbers[index]));
}

/** Precedence of section 11: numbers first, then no tags after tags, then tag by tag. */
function compare(a: Version, b: Version): number {
  for (const index of [0, 1, 2] as const) {
    if (a.numbers[index] !== b.numbers[index]) return a.numbers[index] - b.numbers[index];
  }
  if (a.tags.length === 0 || b.tags.length === 0) return b.tags.length - a.tags.length;
  for (let index = 0; index < Math.max(a.tags.length, b.tags.length); index++) {
    const left = a.tags[index];
    const right = b.tags[index];
    if (left === right) continue;
    if (left === undefined) return -1;
    if (right === undefined) return 1;
    const numeric = [left, right].map((tag) => /^\d+$/.test(tag));
    if (numeric[0] && numeric[1]) return Number(left) - Number(right);
    if (numeric[0] !== numeric[1]) return numeric[0] ? -1 : 1;
    return left < right ? -1 : 1;
  }
  return 0;
}
