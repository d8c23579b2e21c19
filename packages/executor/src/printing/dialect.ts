import type { DType } from '@pare/core';
import type { BinaryOperator, Expression, Reduction, ScalarType, UnaryOperator } from '../expression/expression.js';

/** How a kernel language writes the parts of an expression. Texts are expressions of the language, safe to use as operands of a call; statements end themselves. */
export interface Dialect {
  readonly literal: (type: ScalarType, value: number | bigint) => string;
  readonly unary: (operator: UnaryOperator, type: ScalarType, x: string) => string;
  readonly binary: (operator: BinaryOperator, type: ScalarType, a: string, b: string) => string;
  readonly select: (condition: string, a: string, b: string) => string;
  readonly convert: (from: ScalarType, to: ScalarType, x: string) => string;
  readonly narrow: (expression: Extract<Expression, { kind: 'narrow' }>, x: string) => string;
  /** The element that changes nothing under a reduction. */
  readonly neutral: (reduction: Reduction, type: ScalarType) => string;
  readonly combine: (reduction: Reduction, type: ScalarType, a: string, b: string) => string;
  /**
   * Element `at` of the buffer called `name`, in the type that kernels compute `dtype` in. An index outside of the buffer must read some element: languages without
   * such a promise bound it by `last()`, the text of the last index.
   */
  readonly load: (name: string, dtype: DType, at: string, last: () => string) => string;
  /** Word `slot` of the uniforms as an integer or a float. */
  readonly uniform: (slot: number, type: 'i32' | 'f32') => string;
  /** Statement that names a value for good. */
  readonly value: (name: string, type: ScalarType, text: string) => string;
  /** Statement that declares a variable. */
  readonly variable: (name: string, type: ScalarType, text: string) => string;
  /** Head of a loop of `counter` from `start` below `end` in steps of `step`, up to and with the opening brace. */
  readonly loop: (counter: string, start: string, end: string, step: string) => string;
}
