import { dtypeBits, type DType } from '@pare/core';
import { children, position, type BufferReference, type Expression, type Load, type Variable } from '../expression/expression.js';
import type { Dialect } from './dialect.js';

interface Scope {
  /** The loop that the scope is the body of; undefined for the kernel's own. */
  readonly variable: string | undefined;
  readonly lines: string[];
  /** Names of values computed in this scope, by their text. */
  readonly names: Map<string, string>;
}

/**
 * Prints expressions as statements: each distinct value once, in the outermost loop that knows all it depends on. Sizes become uniforms.
 */
export class ExpressionPrinter {
  readonly #dialect: Dialect;
  readonly #scopes: Scope[] = [{ variable: undefined, lines: [], names: new Map() }];
  readonly #buffers = new Map<number, { readonly name: string; readonly reference: BufferReference; readonly dtype: DType }>();
  readonly #uniforms: number[] = [];
  readonly #uniformSlots = new Map<string, number>();
  readonly #free = new WeakMap<Expression, ReadonlySet<string>>();
  readonly #counters = new Map<string, string>();
  #values = 0;

  constructor(dialect: Dialect) {
    this.#dialect = dialect;
  }

  /** Buffers read, in order of appearance, with the types they are read as. */
  get buffers(): readonly { readonly name: string; readonly reference: BufferReference; readonly dtype: DType }[] {
    return [...this.#buffers.values()];
  }

  /** Statements printed so far in the innermost open scope. */
  get lines(): string[] {
    return this.#scopes.at(-1)!.lines;
  }

  /** Bits of the uniforms, padded to whole vectors of four. */
  uniforms(): Uint32Array | undefined {
    if (this.#uniforms.length === 0) return undefined;
    const words = new Uint32Array(Math.ceil(this.#uniforms.length / 4) * 4);
    words.set(this.#uniforms);
    return words;
  }

  /** Opens the body of a loop over `variable`, lets `print` fill it, and returns its statements. */
  inside(variable: string, print: () => void): string[] {
    const scope: Scope = { variable, lines: [], names: new Map() };
    this.#scopes.push(scope);
    print();
    this.#scopes.pop();
    return scope.lines;
  }

  /**
   * Lets `print` fill the body of a loop over `variable` at a position of the output: the body's statements, and those before it that only the position decides.
   */
  insideLoop(variable: Variable, print: () => void): { readonly before: string[]; readonly body: string[] } {
    let body: string[] = [];
    const before = this.inside(position.name, () => {
      body = this.inside(variable.name, print);
    });
    return { before, body };
  }

  /** The text of a size or another integer that follows from shapes. */
  size(value: number): string {
    return this.#uniform('i', value | 0, 'i32');
  }

  /**
   * The name of a loop's counter: numbered as they appear, because equal kernels must have equal texts to share a pipeline, and counters are made anew with each lowering.
   */
  counter({ name }: Variable): string {
    if (name === position.name) return name;
    let known = this.#counters.get(name);
    if (known === undefined) this.#counters.set(name, (known = `n${String(this.#counters.size)}`));
    return known;
  }

  /** A name for the expression's value, whose statements are printed if they are not yet. */
  print(expression: Expression): string {
    switch (expression.kind) {
      case 'literal':
        return this.#dialect.literal(expression.type, expression.value);
      case 'size':
        return this.size(expression.value);
      case 'scalar':
        return this.#uniform('f', new Uint32Array(Float32Array.of(expression.value).buffer)[0]!, 'f32');
      case 'variable':
        return this.counter(expression);
      case 'loop':
        return this.#loop(expression);
      default:
        return this.#bind(expression, this.#text(expression));
    }
  }

  #text(expression: Expression): string {
    switch (expression.kind) {
      case 'load':
        return this.#load(expression);
      case 'unary':
        return this.#dialect.unary(expression.operator, expression.x.type, this.print(expression.x));
      case 'binary':
        return this.#dialect.binary(expression.operator, expression.a.type, this.print(expression.a), this.print(expression.b));
      case 'select':
        return this.#select(expression);
      case 'convert':
        return this.#dialect.convert(expression.x.type, expression.type, this.print(expression.x));
      case 'narrow':
        return this.#dialect.narrow(expression, this.print(expression.x));
      default:
        throw new Error(`no statement for ${expression.kind}`);
    }
  }

  #select({ a, b, condition }: Extract<Expression, { kind: 'select' }>): string {
    const [otherwise, chosen] = [this.print(b), this.print(a)];
    return this.#dialect.select(this.print(condition), chosen, otherwise);
  }

  #bind(expression: Expression, text: string): string {
    const scope = this.#scopeOf(expression);
    const known = scope.names.get(text);
    if (known !== undefined) return known;
    const name = `v${String(this.#values++)}`;
    scope.names.set(text, name);
    scope.lines.push(this.#dialect.value(name, expression.type, text));
    return name;
  }

  #loop(expression: Extract<Expression, { kind: 'loop' }>): string {
    const { variable, reduction, type } = expression;
    const target = this.#scopeOf(expression);
    // What the loop needs from outside is printed before it, so only the scopes around its place may be open.
    const inner = this.#scopes.splice(this.#scopes.indexOf(target) + 1);
    const key = `loop ${variable.name}`;
    let name = target.names.get(key);
    if (name === undefined) {
      name = `v${String(this.#values++)}`;
      target.names.set(key, name);
      const extent = this.print(expression.extent);
      const body = this.inside(variable.name, () => {
        const value = this.print(expression.body);
        this.lines.push(`${name!} = ${this.#dialect.combine(reduction, type, name!, value)};`);
      });
      const counter = this.counter(variable);
      target.lines.push(this.#dialect.variable(name, type, this.#dialect.neutral(reduction, type)), this.#dialect.loop(counter, '0', extent, '1'), ...body.map((line) => `  ${line}`), '}');
    }
    this.#scopes.push(...inner);
    return name;
  }

  #load({ buffer, dtype, index }: Load): string {
    let entry = this.#buffers.get(buffer.id);
    if (entry === undefined) {
      entry = { name: `b${String(this.#buffers.size)}`, reference: buffer, dtype };
      this.#buffers.set(buffer.id, entry);
    }
    const last = (): string => this.size(Math.floor((buffer.bytes * 8) / dtypeBits(dtype)) - 1);
    return this.#dialect.load(entry.name, dtype, this.print(index), last);
  }

  #uniform(kind: 'i' | 'f', bits: number, type: 'i32' | 'f32'): string {
    const key = `${kind}${String(bits)}`;
    let slot = this.#uniformSlots.get(key);
    if (slot === undefined) {
      slot = this.#uniforms.length;
      this.#uniforms.push(bits);
      this.#uniformSlots.set(key, slot);
      this.#scopes[0]!.lines.push(this.#dialect.value(`u${String(slot)}`, type, this.#dialect.uniform(slot, type)));
    }
    return `u${String(slot)}`;
  }

  /** The innermost open scope that the expression depends on. */
  #scopeOf(expression: Expression): Scope {
    const free = this.#freeVariables(expression);
    return this.#scopes.findLast(({ variable }) => variable !== undefined && free.has(variable)) ?? this.#scopes[0]!;
  }

  #freeVariables(expression: Expression): ReadonlySet<string> {
    const known = this.#free.get(expression);
    if (known !== undefined) return known;
    const free = new Set<string>();
    if (expression.kind === 'variable') free.add(expression.name);
    for (const child of children(expression)) for (const name of this.#freeVariables(child)) free.add(name);
    if (expression.kind === 'loop') free.delete((expression.variable satisfies Variable).name);
    this.#free.set(expression, free);
    return free;
  }
}
