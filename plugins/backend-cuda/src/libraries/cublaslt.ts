import type { ForeignFunction, ForeignLibrary, ForeignType, ForeignValue } from './foreign.js';

/* cuBLASLt's matrix products (cuBLAS library user guide). It knows column-major matrices: a row-major product y = a·b is its yᵀ = bᵀ·aᵀ. */

const signatures = {
  cublasLtCreate: ['memory'],
  cublasLtDestroy: ['address'],
  cublasLtMatmulDescCreate: ['memory', 'int', 'int'],
  cublasLtMatmulDescDestroy: ['address'],
  cublasLtMatmulDescSetAttribute: ['address', 'int', 'memory', 'size'],
  cublasLtMatrixLayoutCreate: ['memory', 'int', 'address', 'address', 'address'],
  cublasLtMatrixLayoutDestroy: ['address'],
  cublasLtMatrixLayoutSetAttribute: ['address', 'int', 'memory', 'size'],
  cublasLtMatmulPreferenceCreate: ['memory'],
  cublasLtMatmulPreferenceDestroy: ['address'],
  cublasLtMatmulPreferenceSetAttribute: ['address', 'int', 'memory', 'size'],
  cublasLtMatmulAlgoGetHeuristic: ['address', 'address', 'address', 'address', 'address', 'address', 'address', 'int', 'memory', 'memory'],
  cublasLtMatmul: ['address', 'address', 'memory', 'address', 'address', 'address', 'address', 'memory', 'address', 'address', 'address', 'address', 'memory', 'address', 'size', 'address'],
} as const satisfies Readonly<Record<string, readonly ForeignType[]>>;

type BlasFunction = keyof typeof signatures;

const computeTypes = { float32: 68, tf32: 77, float64: 70 } as const;
const dataTypes = { float32: 0, bfloat16: 14, float64: 1 } as const;
const elementBytes = { float32: 4, bfloat16: 2, float64: 8 } as const;
const descriptor = { transposeA: 3, transposeB: 4, epilogue: 7, biasPointer: 8 };
const layout = { batchCount: 5, batchStride: 6 };
const preference = { workspace: 1, alignment: [5, 6, 7, 8] };
const biasEpilogue = 4;
/** Bytes of a heuristic's result: the algorithm (64), its workspace, status, waves and a reserve. */
const resultBytes = 96;

/** Where a row-major matrix lies in its buffer, in elements. */
export interface MatrixPlace {
  /** Elements before the first one. */
  readonly first: number;
  /** Between neighbouring rows. */
  readonly row: number;
  /** Between the matrices of neighbouring products. */
  readonly batchStride: number;
}

/** Bytes, up to 16, that addresses of the matrix are multiples of: more is not asked for, and windows of buffers begin at multiples of 16. */
function alignmentOf({ first, batchStride }: MatrixPlace, bytes: number, batch: number): number {
  let alignment = 16;
  while ((first * bytes) % alignment !== 0 || (batch > 1 && (batchStride * bytes) % alignment !== 0)) alignment /= 2;
  return alignment;
}

/** y = alpha · op(a)·op(b) + beta · c, with y and c [m, n]; c may be y. A bias [n] is added to every row. */
export interface ProductPlan {
  readonly m: number;
  readonly n: number;
  readonly k: number;
  readonly batch: number;
  readonly transposeA: boolean;
  readonly transposeB: boolean;
  readonly alpha: number;
  readonly beta: number;
  readonly bias: boolean;
  readonly a: MatrixPlace;
  readonly b: MatrixPlace;
  readonly c: MatrixPlace;
  readonly y: MatrixPlace;
  /** Element type of a and b. c and y are float32, or float64 where these are. */
  readonly type: keyof typeof dataTypes;
  /** How products of float32 are multiplied; sums are float32 always, or float64. */
  readonly compute: keyof typeof computeTypes;
}

function sumType(type: ProductPlan['type']): 'float32' | 'float64' {
  return type === 'float64' ? 'float64' : 'float32';
}

/** A product ready to run at given addresses. */
export interface PreparedProduct {
  readonly run: (a: number, b: number, c: number, y: number, bias: number, stream: number) => void;
  readonly dispose: () => void;
}

/** A failed call of cuBLASLt. */
export class BlasError extends Error {
  constructor(call: string, status: number) {
    super(`${call} failed with status ${String(status)}`);
  }
}

export class CublasLt {
  readonly #library: ForeignLibrary;
  readonly #functions = new Map<BlasFunction, ForeignFunction>();
  readonly #handle: number;
  readonly #workspace: { readonly address: number; readonly bytes: number };

  /** @param workspace device memory that products may scribble on; products of one stream share it */
  constructor(library: ForeignLibrary, workspace: { readonly address: number; readonly bytes: number }) {
    this.#library = library;
    this.#workspace = workspace;
    this.#handle = this.#make('cublasLtCreate');
  }

  /** @throws BlasError when the library has no algorithm for the product */
  prepare(plan: ProductPlan): PreparedProduct {
    const { m, n, k, batch, transposeA, transposeB, type } = plan;
    const sums = sumType(type);
    const made: (readonly [BlasFunction, number])[] = [];
    const keep = (destroy: BlasFunction, handle: number): number => {
      made.push([destroy, handle]);
      return handle;
    };
    const dispose = (): void => {
      for (const [destroy, handle] of made.splice(0)) this.#get(destroy)(handle);
    };
    try {
      const operation = keep('cublasLtMatmulDescDestroy', this.#make('cublasLtMatmulDescCreate', computeTypes[plan.compute], dataTypes[sums]));
      const set = (attribute: number, value: ArrayBufferView): void => this.#call('cublasLtMatmulDescSetAttribute', operation, attribute, value, value.byteLength);
      // The library's first operand is b: stored as [k, n] it is the n × k matrix that it asks for.
      set(descriptor.transposeA, Int32Array.of(Number(transposeB)));
      set(descriptor.transposeB, Int32Array.of(Number(transposeA)));
      if (plan.bias) set(descriptor.epilogue, Int32Array.of(biasEpilogue));
      const matrix = (element: number, columns: number, rows: number, { row, batchStride }: MatrixPlace): number => {
        const handle = keep('cublasLtMatrixLayoutDestroy', this.#make('cublasLtMatrixLayoutCreate', element, columns, rows, row));
        if (batch > 1) {
          this.#call('cublasLtMatrixLayoutSetAttribute', handle, layout.batchCount, Int32Array.of(batch), 4);
          this.#call('cublasLtMatrixLayoutSetAttribute', handle, layout.batchStride, BigInt64Array.of(BigInt(batchStride)), 8);
        }
        return handle;
      };
      const b = transposeB ? matrix(dataTypes[type], k, n, plan.b) : matrix(dataTypes[type], n, k, plan.b);
      const a = transposeA ? matrix(dataTypes[type], m, k, plan.a) : matrix(dataTypes[type], k, m, plan.a);
      const c = matrix(dataTypes[sums], n, m, plan.c);
      const y = matrix(dataTypes[sums], n, m, plan.y);
      const algorithm = this.#algorithm(plan, operation, b, a, c, y);
      const factor = (value: number): ArrayBufferView => (sums === 'float64' ? Float64Array.of(value) : Float32Array.of(value));
      const [alpha, beta] = [factor(plan.alpha), factor(plan.beta)];
      const multiply = this.#get('cublasLtMatmul');
      const [own, wide] = [elementBytes[type], elementBytes[sums]];
      const [aStart, bStart, cStart, yStart] = [plan.a.first * own, plan.b.first * own, plan.c.first * wide, plan.y.first * wide];
      const biasAt = new BigUint64Array(1);
      return {
        run: (aAt, bAt, cAt, yAt, bias, stream) => {
          if (plan.bias) {
            biasAt[0] = BigInt(bias);
            set(descriptor.biasPointer, biasAt);
          }
          const status = multiply(this.#handle, operation, alpha, bAt + bStart, b, aAt + aStart, a, beta, cAt + cStart, c, yAt + yStart, y, algorithm, this.#workspace.address, this.#workspace.bytes, stream);
          if (status !== 0) throw new BlasError('cublasLtMatmul', status);
        },
        dispose,
      };
    } catch (error) {
      dispose();
      throw error;
    }
  }

  dispose(): void {
    this.#get('cublasLtDestroy')(this.#handle);
  }

  #algorithm(plan: ProductPlan, operation: number, b: number, a: number, c: number, y: number): Uint8Array {
    const wishes = this.#make('cublasLtMatmulPreferenceCreate');
    try {
      this.#call('cublasLtMatmulPreferenceSetAttribute', wishes, preference.workspace, BigUint64Array.of(BigInt(this.#workspace.bytes)), 8);
      const [own, wide] = [elementBytes[plan.type], elementBytes[sumType(plan.type)]];
      for (const [index, [place, bytes]] of ([[plan.b, own], [plan.a, own], [plan.c, wide], [plan.y, wide]] as const).entries()) {
        this.#call('cublasLtMatmulPreferenceSetAttribute', wishes, preference.alignment[index]!, Uint32Array.of(alignmentOf(place, bytes, plan.batch)), 4);
      }
      const results = new Uint8Array(resultBytes);
      const count = new Int32Array(1);
      this.#call('cublasLtMatmulAlgoGetHeuristic', this.#handle, operation, b, a, c, y, wishes, 1, results, count);
      if (count[0] === 0) throw new BlasError('cublasLtMatmulAlgoGetHeuristic', 15);
      return results;
    } finally {
      this.#get('cublasLtMatmulPreferenceDestroy')(wishes);
    }
  }

  #get(name: BlasFunction): ForeignFunction {
    let found = this.#functions.get(name);
    if (found === undefined) this.#functions.set(name, (found = this.#library.bind(name, signatures[name])));
    return found;
  }

  #call(name: BlasFunction, ...values: readonly ForeignValue[]): void {
    const status = this.#get(name)(...values);
    if (status !== 0) throw new BlasError(name, status);
  }

  #make(name: BlasFunction, ...values: readonly ForeignValue[]): number {
    const handle = new BigUint64Array(1);
    this.#call(name, handle, ...values);
    return Number(handle[0]);
  }
}
