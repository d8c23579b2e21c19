import type { Dimension } from '@pare/core';

/* Arithmetic on dimensions that may be symbolic. A dimension is a polynomial with integer coefficients over atoms (symbol names and the functions
   `floor(a / b)`, `max(a, b)`, `min(a, b)`), printed in one canonical form: `past_sequence_length + sequence_length`, `2*heads*batch_size - 1`.
   Spaces around + and - are required, so that a name such as `batch-size` stays a name. A name that does not read as an expression is one atom. */

/** Coefficient and sorted atoms of one term. The constant term has no atoms. */
interface Term {
  readonly coefficient: number;
  readonly atoms: readonly string[];
}

type Polynomial = ReadonlyMap<string, Term>;

const identifier = /^[A-Za-z_][\w.:]*$/;

/* Names come from files and arithmetic from their graphs, so expressions are kept from growing without bound: beyond these limits a result becomes a
   symbol of its own. Real models stay far below. */
const maximumText = 2000;
const maximumNesting = 64;
const maximumTerms = 256;
const maximumDegree = 64;
const parsed = new Map<string, Polynomial>();

/** `left + right`. */
export function addDimensions(left: Dimension, right: Dimension): Dimension {
  if (typeof left === 'number' && typeof right === 'number') return left + right;
  return print(add(toPolynomial(left), toPolynomial(right), 1));
}

/** `left - right`. */
export function subtractDimensions(left: Dimension, right: Dimension): Dimension {
  if (typeof left === 'number' && typeof right === 'number') return left - right;
  return print(add(toPolynomial(left), toPolynomial(right), -1));
}

/** `left · right`. */
export function multiplyDimensions(left: Dimension, right: Dimension): Dimension {
  if (typeof left === 'number' && typeof right === 'number') return left * right;
  const product = multiply(toPolynomial(left), toPolynomial(right));
  return product === undefined ? ownSymbol(`${String(left)} * ${String(right)}`) : print(product);
}

/** The product of a shape's dimensions; 1 for a scalar. */
export function dimensionProduct(shape: readonly Dimension[]): Dimension {
  return shape.reduce<Dimension>(multiplyDimensions, 1);
}

/** `left / right` when it is exact for every value of the symbols, else undefined. */
export function divideExactly(left: Dimension, right: Dimension): Dimension | undefined {
  if (right === 0) return undefined;
  if (typeof left === 'number' && typeof right === 'number') return left % right === 0 ? left / right : undefined;
  const quotient = dividePolynomials(toPolynomial(left), toPolynomial(right));
  return quotient === undefined ? undefined : print(quotient);
}

/** `⌊left / right⌋`, the division of ONNX shape formulae (operands are not negative). */
export function floorDivide(left: Dimension, right: Dimension): Dimension {
  if (typeof left === 'number' && typeof right === 'number') return Math.floor(left / right);
  return divideExactly(left, right) ?? `floor(${operand(left)} / ${operand(right)})`;
}

/** `⌈left / right⌉`. */
export function ceilDivide(left: Dimension, right: Dimension): Dimension {
  if (typeof left === 'number' && typeof right === 'number') return Math.ceil(left / right);
  return divideExactly(left, right) ?? floorDivide(addDimensions(left, subtractDimensions(right, 1)), right);
}

/** The smaller of two dimensions. */
export function minimumDimension(left: Dimension, right: Dimension): Dimension {
  return extremum('min', left, right);
}

/** The larger of two dimensions. */
export function maximumDimension(left: Dimension, right: Dimension): Dimension {
  return extremum('max', left, right);
}

/** True when the two are equal for every value of the symbols. */
export function sameDimension(left: Dimension, right: Dimension): boolean {
  return left === right || subtractDimensions(left, right) === 0;
}

/** True when `left ≤ right` for all non-negative values of the symbols. */
export function alwaysAtMost(left: Dimension, right: Dimension): boolean {
  for (const term of add(toPolynomial(right), toPolynomial(left), -1).values()) if (term.coefficient < 0) return false;
  return true;
}

/** True when two shapes have the same rank and equal dimensions. */
export function sameShape(left: readonly Dimension[], right: readonly Dimension[]): boolean {
  return left.length === right.length && left.every((dimension, axis) => sameDimension(dimension, right[axis]!));
}

/** The dimension that two values agree on: a number is preferred to a symbol; undefined when two numbers differ. */
export function unifyDimensions(left: Dimension, right: Dimension): Dimension | undefined {
  if (typeof left === 'number') return typeof right === 'string' || left === right ? left : undefined;
  return typeof right === 'number' ? right : left;
}

/**
 * The dimension that two operands broadcast to; undefined when they cannot. Two different symbols give `max(a, b)`, which is right in each case in
 * which the operands broadcast at all (equal, or one of them 1).
 */
export function broadcastDimensions(left: Dimension, right: Dimension): Dimension | undefined {
  if (left === 1) return right;
  if (right === 1 || left === right) return left;
  if (typeof left === 'number') return typeof right === 'number' ? undefined : left;
  if (typeof right === 'number') return right;
  return sameDimension(left, right) ? left : maximumDimension(left, right);
}

/** NumPy broadcasting of shapes, aligned at the last axis; undefined when they do not fit. */
export function broadcastShapes(...shapes: (readonly Dimension[])[]): Dimension[] | undefined {
  const rank = Math.max(0, ...shapes.map((shape) => shape.length));
  const result: Dimension[] = new Array<Dimension>(rank).fill(1);
  for (const shape of shapes) {
    for (let axis = 0; axis < shape.length; axis++) {
      const target = rank - shape.length + axis;
      const dimension = broadcastDimensions(result[target]!, shape[axis]!);
      if (dimension === undefined) return undefined;
      result[target] = dimension;
    }
  }
  return result;
}

/** The value of a dimension where its symbols are bound; undefined when one is not. */
export function evaluateDimension(dimension: Dimension, bindings: Readonly<Record<string, number>>): number | undefined {
  if (typeof dimension === 'number') return dimension;
  if (Object.hasOwn(bindings, dimension)) return bindings[dimension];
  let sum = 0;
  for (const term of toPolynomial(dimension).values()) {
    let product = term.coefficient;
    for (const atom of term.atoms) {
      const value = evaluateAtom(atom, bindings);
      if (value === undefined) return undefined;
      product *= value;
    }
    sum += product;
  }
  return sum;
}

function evaluateAtom(atom: string, bindings: Readonly<Record<string, number>>): number | undefined {
  const call = asCall(atom);
  if (call === undefined) {
    const name = atom.startsWith('`') ? atom.slice(1, -1) : atom;
    return Object.hasOwn(bindings, name) ? bindings[name] : undefined;
  }
  const values: number[] = [];
  for (const argument of call.arguments) {
    const value = evaluateDimension(argument, bindings);
    if (value === undefined) return undefined;
    values.push(value);
  }
  if (call.name === 'floor') return Math.floor(values[0]! / values[1]!);
  return call.name === 'max' ? Math.max(...values) : Math.min(...values);
}

/** Text for an operand of a function: sums go in parentheses. */
function operand(dimension: Dimension): string {
  const text = print(toPolynomial(dimension), true);
  return String(text).includes(' ') ? `(${String(text)})` : String(text);
}

function extremum(name: 'max' | 'min', left: Dimension, right: Dimension): Dimension {
  if (typeof left === 'number' && typeof right === 'number') return name === 'max' ? Math.max(left, right) : Math.min(left, right);
  if (alwaysAtMost(left, right)) return name === 'max' ? right : left;
  if (alwaysAtMost(right, left)) return name === 'max' ? left : right;
  const parts = new Set<string>();
  for (const side of [left, right]) {
    const text = String(print(toPolynomial(side), true));
    const call = asCall(text);
    if (call?.name === name) for (const argument of call.arguments) parts.add(argument);
    else parts.add(text);
  }
  return `${name}(${[...parts].sort().join(', ')})`;
}

/** Function name and argument texts of an atom such as `floor(a / b)`. */
function asCall(atom: string): { name: 'floor' | 'max' | 'min'; arguments: string[] } | undefined {
  const match = /^(floor|max|min)\((.*)\)$/s.exec(atom);
  if (match === null) return undefined;
  const name = match[1] as 'floor' | 'max' | 'min';
  const parts = splitTop(match[2]!, name === 'floor' ? ' / ' : ', ');
  return parts === undefined || (name === 'floor' && parts.length !== 2) ? undefined : { name, arguments: parts };
}

/** Splits at separators outside parentheses and quotes; undefined when parentheses do not match. */
function splitTop(text: string, separator: string): string[] | undefined {
  const parts: string[] = [];
  let depth = 0;
  let start = 0;
  let quoted = false;
  for (let index = 0; index < text.length; index++) {
    const character = text[index];
    if (character === '`') quoted = !quoted;
    if (quoted) continue;
    if (character === '(') depth++;
    else if (character === ')' && --depth < 0) return undefined;
    else if (depth === 0 && text.startsWith(separator, index)) {
      parts.push(text.slice(start, index));
      start = index + separator.length;
      index = start - 1;
    }
  }
  parts.push(text.slice(start));
  return depth === 0 && !quoted ? parts : undefined;
}

function toPolynomial(dimension: Dimension): Polynomial {
  if (typeof dimension === 'number') return constant(dimension);
  let polynomial = parsed.get(dimension);
  if (polynomial === undefined) {
    const readable = dimension.length <= maximumText && dimension.split('(').length <= maximumNesting;
    polynomial = (readable ? parse(dimension) : undefined) ?? single(`\`${dimension.replaceAll('`', "'")}\``);
    if (parsed.size > 10_000) parsed.clear();
    parsed.set(dimension, polynomial);
  }
  return polynomial;
}

/** sum := ['-'] term ((' + ' | ' - ') term)* */
function parse(text: string): Polynomial | undefined {
  const negative = text.startsWith('-');
  const plusParts = splitTop(negative ? text.slice(1) : text, ' + ');
  if (plusParts === undefined) return undefined;
  let sum: Polynomial = new Map();
  for (const [plusIndex, plusPart] of plusParts.entries()) {
    const minusParts = splitTop(plusPart, ' - ');
    if (minusParts === undefined) return undefined;
    for (const [minusIndex, part] of minusParts.entries()) {
      const term = parseTerm(part);
      if (term === undefined) return undefined;
      sum = add(sum, term, minusIndex > 0 || (negative && plusIndex === 0 && minusIndex === 0) ? -1 : 1);
    }
  }
  return sum;
}

/** term := factor ('*' factor)*; factor := integer | name | function | '(' sum ')' */
function parseTerm(text: string): Polynomial | undefined {
  const factors = splitTop(text, '*');
  if (factors === undefined) return undefined;
  let product: Polynomial | undefined = constant(1);
  for (const part of factors) {
    const factor = parseFactor(part.trim());
    product = factor === undefined ? undefined : multiply(product, factor);
    if (product === undefined) return undefined;
  }
  return product;
}

function parseFactor(text: string): Polynomial | undefined {
  if (/^\d+$/.test(text)) return constant(Number(text));
  if (identifier.test(text) || /^`[^`]+`$/.test(text)) return single(text);
  const call = asCall(text);
  if (call !== undefined) return call.arguments.every((argument) => parse(argument) !== undefined) ? single(text) : undefined;
  return text.startsWith('(') && text.endsWith(')') ? parse(text.slice(1, -1)) : undefined;
}

function constant(value: number): Polynomial {
  return value === 0 ? new Map() : new Map([['', { coefficient: value, atoms: [] }]]);
}

function single(atom: string): Polynomial {
  return new Map([[atom, { coefficient: 1, atoms: [atom] }]]);
}

function accumulate(into: Map<string, Term>, atoms: readonly string[], coefficient: number): void {
  const key = atoms.join('*');
  const total = (into.get(key)?.coefficient ?? 0) + coefficient;
  if (total === 0) into.delete(key);
  else into.set(key, { coefficient: total, atoms });
}

function add(left: Polynomial, right: Polynomial, sign: 1 | -1): Polynomial {
  const sum = new Map(left);
  for (const term of right.values()) accumulate(sum, term.atoms, sign * term.coefficient);
  return sum;
}

/** Undefined when the product would be too large to carry along. */
function multiply(left: Polynomial, right: Polynomial): Polynomial | undefined {
  if (left.size * right.size > maximumTerms || degree(left) + degree(right) > maximumDegree) return undefined;
  const product = new Map<string, Term>();
  for (const a of left.values()) for (const b of right.values()) accumulate(product, [...a.atoms, ...b.atoms].sort(), a.coefficient * b.coefficient);
  return product;
}

function degree(polynomial: Polynomial): number {
  let highest = 0;
  for (const term of polynomial.values()) highest = Math.max(highest, term.atoms.length);
  return highest;
}

/** A symbol for an expression too large to write: the same for the same text (FNV-1a). */
function ownSymbol(text: string): string {
  let hash = 0x811c9dc5;
  for (let index = 0; index < text.length; index++) hash = Math.imul(hash ^ text.charCodeAt(index), 0x01000193);
  return `size_${(hash >>> 0).toString(16)}`;
}

/** Long division: the leading term of the remainder by the divisor's, until nothing is left or it does not go. */
function dividePolynomials(numerator: Polynomial, divisor: Polynomial): Polynomial | undefined {
  const lead = leadingTerm(divisor);
  if (lead === undefined) return undefined;
  let remainder = numerator;
  let quotient: Polynomial = new Map();
  for (let step = 0; remainder.size > 0; step++) {
    const term = leadingTerm(remainder)!;
    const atoms = withoutAtoms(term.atoms, lead.atoms);
    if (step > 64 || atoms === undefined || term.coefficient % lead.coefficient !== 0) return undefined;
    const part: Polynomial = new Map([[atoms.join('*'), { coefficient: term.coefficient / lead.coefficient, atoms }]]);
    quotient = add(quotient, part, 1);
    const removed = multiply(part, divisor);
    if (removed === undefined) return undefined;
    remainder = add(remainder, removed, -1);
  }
  return quotient;
}

/** The term of highest degree, first in the alphabet among equals: a monomial order up to ties that only make the division give up. */
function leadingTerm(polynomial: Polynomial): Term | undefined {
  let best: Term | undefined;
  for (const term of polynomial.values()) {
    if (best === undefined || term.atoms.length > best.atoms.length || (term.atoms.length === best.atoms.length && term.atoms.join('*') < best.atoms.join('*'))) best = term;
  }
  return best;
}

function withoutAtoms(atoms: readonly string[], removed: readonly string[]): string[] | undefined {
  const rest = [...atoms];
  for (const atom of removed) {
    const index = rest.indexOf(atom);
    if (index < 0) return undefined;
    rest.splice(index, 1);
  }
  return rest;
}

/** Canonical text; a lone quoted name loses its quotes unless the text goes into an expression. */
function print(polynomial: Polynomial, nested = false): Dimension {
  const terms = [...polynomial.values()].sort(compareTerms);
  if (terms.length === 0) return 0;
  const first = terms[0]!;
  if (terms.length === 1 && first.atoms.length === 0) return first.coefficient;
  if (!nested && terms.length === 1 && first.coefficient === 1 && first.atoms.length === 1 && first.atoms[0]!.startsWith('`')) return first.atoms[0]!.slice(1, -1);
  let text = '';
  for (const [index, term] of terms.entries()) {
    const size = Math.abs(term.coefficient);
    const factors = term.atoms.length === 0 || size !== 1 ? [String(size), ...term.atoms] : term.atoms;
    const sign = index === 0 ? (term.coefficient < 0 ? '-' : '') : term.coefficient < 0 ? ' - ' : ' + ';
    text += sign + factors.join('*');
  }
  return text.length > maximumText ? ownSymbol(text) : text;
}

/** Positive before negative, higher degree first, then by name; the constant last. */
function compareTerms(a: Term, b: Term): number {
  if ((a.atoms.length === 0) !== (b.atoms.length === 0)) return a.atoms.length === 0 ? 1 : -1;
  if (a.coefficient > 0 !== b.coefficient > 0) return a.coefficient > 0 ? -1 : 1;
  if (a.atoms.length !== b.atoms.length) return b.atoms.length - a.atoms.length;
  const left = a.atoms.join('*');
  const right = b.atoms.join('*');
  return left < right ? -1 : left > right ? 1 : 0;
}
