import { type Backend, type DeviceTensor, type Model } from '@pare/core';
import { TokenGenerator } from '@pare/model';
import { type Student } from '../student.js';

/** What a student writes with the parameters that it has at the time. */
export class StudentGenerator implements AsyncDisposable {
  readonly #student: Student;
  readonly #generator: TokenGenerator;
  /** What the generator computes with; it looks there at every call. */
  readonly #weights: Map<string, DeviceTensor>;
  #merged: readonly DeviceTensor[] = [];

  private constructor(student: Student, generator: TokenGenerator, weights: Map<string, DeviceTensor>) {
    this.#student = student;
    this.#generator = generator;
    this.#weights = weights;
  }

  static async create({ backend, model, signal }: { readonly backend: Backend; readonly model: Model; readonly signal: AbortSignal }, student: Student): Promise<StudentGenerator> {
    // The names of all parameters tell the generator what it need not read.
    const weights = new Map(student.parameters);
    return new StudentGenerator(student, await TokenGenerator.create({ model, backend, signal, parameters: weights }), weights);
  }

  /** The generator with the student's parameters of now. Valid until the student takes a step. */
  async current(): Promise<TokenGenerator> {
    this.#dispose();
    const { parameters, merged } = await this.#student.plainParameters();
    this.#merged = merged;
    for (const [name, tensor] of parameters) this.#weights.set(name, tensor);
    return this.#generator;
  }

  #dispose(): void {
    for (const tensor of this.#merged) tensor[Symbol.dispose]();
    this.#merged = [];
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#dispose();
    await this.#generator[Symbol.asyncDispose]();
  }
}
