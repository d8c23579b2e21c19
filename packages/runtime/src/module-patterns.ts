import type { ModuleInfo, ModuleKind, ModuleRole } from '@pare/core';
import picomatch from 'picomatch';

/** Words that select modules by kind. `linear` means the linear layers inside blocks. */
export const kindWords: readonly ModuleKind[] = ['linear', 'embedding', 'head', 'router'];

/** Words that select modules by their place in a block. */
export const roleWords: readonly ModuleRole[] = [
  'attention.query',
  'attention.key',
  'attention.value',
  'attention.qkv',
  'attention.output',
  'mlp.gate',
  'mlp.up',
  'mlp.gate-up',
  'mlp.down',
  'mlp.router',
];

/** A compiled selector of modules. */
export interface ModulePattern {
  readonly text: string;
  /** True for kinds and roles, which a model may well have none of. */
  readonly word: boolean;
  matches(module: ModuleInfo): boolean;
}

/**
 * Compiles a selector: a kind, a role, a `/regular expression/` searched in the name, or a glob. A glob stands for a whole name or for its end from a
 * dot on, so `q_proj`, `layers.0.*` and `model.layers.{0..3}.mlp.*` all work; `*` crosses dots.
 * @throws SyntaxError for a regular expression that does not compile
 */
export function compilePattern(text: string): ModulePattern {
  if ((kindWords as readonly string[]).includes(text)) return { text, word: true, matches: (module) => module.kind === text };
  if ((roleWords as readonly string[]).includes(text)) return { text, word: true, matches: (module) => module.role === text };
  const expression = /^\/(.*)\/([a-z]*)$/s.exec(text);
  if (expression !== null) {
    const compiled = new RegExp(expression[1]!, expression[2]!.replaceAll(/[gy]/g, ''));
    return { text, word: false, matches: (module) => compiled.test(module.name) };
  }
  const matches = picomatch(text, { dot: true, nonegate: true, expandRange: (from: string, to: string) => expandRange(from, to) });
  return { text, word: false, matches: (module) => nameEndings(module.name).some((ending) => matches(ending)) };
}

/** `{8..11}` as an alternation of numbers. */
function expandRange(from: string, to: string): string {
  const first = Number(from);
  const last = Number(to);
  const step = first <= last ? 1 : -1;
  return `(?:${Array.from({ length: Math.abs(last - first) + 1 }, (_, index) => String(first + step * index)).join('|')})`;
}

/** A name and its ends after each dot: `a.b.c`, `b.c`, `c`. */
export function nameEndings(name: string): string[] {
  const endings = [name];
  for (let dot = name.indexOf('.'); dot >= 0; dot = name.indexOf('.', dot + 1)) endings.push(name.slice(dot + 1));
  return endings;
}
