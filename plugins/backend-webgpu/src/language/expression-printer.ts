import { children, position, type BufferReference, type Expression, type Load, type Variable } from '@pare/executor';
import { dtypeBits, type DType } from '@pare/core';
import { binaryText, combineText, convertText, literalText, narrowText, neutralText, typeName, unaryText } from './operations.js';

interface Scope {
  /** The loop that the scope is the body of; undefined for the kernel's own. */
  readonly variable: string | undefined;
  readonly lines: string[];
  /** Names of values computed in this scope, by their text. */
  readonly names: Map<string, string>;
}

/** The buffer's element in WGSL: words of packed elements for types of less than 32 bits. */
export function storageType(dtype: DType): string {
  if (dtypeBits(dtype) === 64) return 'vec2u';
  if (dtype === 'float32') return 'f32';
  if (dtype === 'int32') return 'i32';
  return 'u32';
}

/**
 * Prints expressions as statements: each distinct value once, in the outermost loop that knows all it depends on. Sizes become uniforms.
 */
export class ExpressionPrinter {
  readonly #scopes: Scope[] = [{ variable: undefined, lines: [], names: new Map() }];
  readonly #buffers = new Map<number, { readonly name: string; readonly reference: BufferReference; readonly dtype: DType }>();
  readonly #uniforms: number[] = [];
  readonly #uniformSlots = new Map<string, number>();
  readonly #free = new WeakMap<Expression, ReadonlySet<string>>();
  readonly #counters = new Map<string, string>();
  #values = 0;

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
        return literalText(expression.type, expression.value);
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
        return unaryText(expression.operator, expression.x.type, this.print(expression.x));
      case 'binary':
        return binaryText(expression.operator, expression.a.type, this.print(expression.a), this.print(expression.b));
      case 'select':
        return `select(${this.print(expression.b)}, ${this.print(expression.a)}, ${this.print(expression.condition)})`;
      case 'convert':
        return convertText(expression.x.type, expression.type, this.print(expression.x));
      case 'narrow':
        return narrowText(expression, this.print(expression.x));
      default:
        throw new Error(`no statement for ${expression.kind}`);
    }
  }

  #bind(expression: Expression, text: string): string {
    const scope = this.#scopeOf(expression);
    const known = scope.names.get(text);
    if (known !== undefined) return known;
    const name = `v${String(this.#values++)}`;
    scope.names.set(text, name);
    scope.lines.push(`let ${name} = ${text};`);
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
        this.lines.push(`${name!} = ${combineText(reduction, type, name!, value)};`);
      });
      const counter = this.counter(variable);
      target.lines.push(`var ${name}: ${typeName(type)} = ${neutralText(reduction, type)};`, `for (var ${counter} = 0; ${counter} < ${extent}; ${counter}++) {`, ...body.map((line) => `  ${line}`), '}');
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
    const { name } = entry;
    const at = this.print(index);
    const field = (perWord: number, bits: number): string => `(${name}[${at} >> ${String(Math.log2(perWord))}u] >> (u32(${at} & ${String(perWord - 1)}) * ${String(bits)}u))`;
    switch (dtype) {
      case 'float16':
        return `f32FromHalf(${field(2, 16)} & 0xffffu)`;
      case 'bfloat16':
        return `f32FromBrain(${field(2, 16)} & 0xffffu)`;
      case 'bool':
        return `(${field(4, 8)} & 0xffu) != 0u`;
      case 'uint16':
        return `${field(2, 16)} & 0xffffu`;
      case 'uint8':
        return `${field(4, 8)} & 0xffu`;
      case 'uint4':
        return `${field(8, 4)} & 15u`;
      case 'int16':
        return `bitcast<i32>(${field(2, 16)} << 16u) >> 16u`;
      case 'int8':
        return `bitcast<i32>(${field(4, 8)} << 24u) >> 24u`;
      case 'int4':
        return `bitcast<i32>(${field(8, 4)} << 28u) >> 28u`;
      default:
        return `${name}[${at}]`;
    }
  }

  #uniform(kind: 'i' | 'f', bits: number, type: 'i32' | 'f32'): string {
    const key = `${kind}${String(bits)}`;
    let slot = this.#uniformSlots.get(key);
    if (slot === undefined) {
      slot = this.#uniforms.length;
      this.#uniforms.push(bits);
      this.#uniformSlots.set(key, slot);
      this.#scopes[0]!.lines.push(`let u${String(slot)} = bitcast<${type}>(uniforms[${String(slot >> 2)}][${String(slot & 3)}]);`);
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
