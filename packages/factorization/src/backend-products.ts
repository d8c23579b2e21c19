import { hostTensor, type Backend, type DeviceTensor, type DType, type Executable } from '@pare/core';
import { GraphBuilder } from '@pare/graph';
import { hostProducts, type Matrix, type MatrixProducts } from '@pare/solvers';

/** Entries of a matrix from which on moving it to a device pays. */
const leastEntries = 1 << 16;

/** Products with matrices on a backend. It keeps the compiled graphs, and of the matrices nothing. */
export interface BackendProducts extends AsyncDisposable {
  /**
   * Runs work that multiplies by one matrix, which is on the backend meanwhile. In float64 where the backend has kernels for it, else in float32; small matrices stay with
   * the calling thread.
   */
  with<T>(matrix: Matrix, signal: AbortSignal, work: (products: MatrixProducts) => Promise<T>): Promise<T>;
}

/** The products of a backend; graphs are compiled when first needed. */
export function backendProducts(backend: Backend): BackendProducts {
  let compiled: Promise<Compiled> | undefined;
  return {
    async with(matrix, signal, work) {
      if (matrix.data.length < leastEntries) return work(hostProducts(matrix, { signal }));
      const { precision, times, timesTransposed } = await (compiled ??= compile(backend));
      using scope = backend.scope();
      const a = scope.own(backend.write(hostTensor(precision, [matrix.rows, matrix.columns], inPrecision(matrix.data, precision))));
      const product = (executable: Executable, x: Matrix<Float64Array>, columns: number): Promise<Matrix<Float64Array>> => multiply(backend, executable, precision, a, x, columns, signal);
      return await work({
        precision,
        times: (x) => product(times, x, matrix.columns),
        timesTransposed: (x) => product(timesTransposed, x, matrix.rows),
      });
    },
    async [Symbol.asyncDispose]() {
      const graphs = await compiled;
      await graphs?.times[Symbol.asyncDispose]();
      await graphs?.timesTransposed[Symbol.asyncDispose]();
    },
  };
}

interface Compiled {
  readonly precision: MatrixProducts['precision'];
  readonly times: Executable;
  readonly timesTransposed: Executable;
}

async function compile(backend: Backend): Promise<Compiled> {
  const native = [...backend.unsupported(productGraph('float64', true)), ...(backend.fallbacks?.(productGraph('float64', true)) ?? [])].length === 0;
  const precision = native ? 'float64' : 'float32';
  return { precision, times: await backend.compile(productGraph(precision, false)), timesTransposed: await backend.compile(productGraph(precision, true)) };
}

/** X·A, or X·Aᵀ. */
function productGraph(dtype: DType, transB: boolean): ReturnType<GraphBuilder['build']> {
  const builder = new GraphBuilder(transB ? 'product with the transpose' : 'product');
  const x = builder.input('x', dtype, ['count', transB ? 'columns' : 'rows']);
  builder.output(builder.gemm(x, builder.input('a', dtype, ['rows', 'columns']), undefined, { transB }), 'product');
  return builder.build();
}

async function multiply(backend: Backend, executable: Executable, precision: MatrixProducts['precision'], a: DeviceTensor, x: Matrix<Float64Array>, columns: number, signal: AbortSignal): Promise<Matrix<Float64Array>> {
  using input = backend.write(hostTensor(precision, [x.rows, x.columns], inPrecision(x.data, precision)));
  const { product } = await executable.run({ x: input, a }, { signal });
  using output = product!;
  const { data } = await backend.read(output);
  return { data: data instanceof Float64Array ? data : Float64Array.from(data as Float32Array), rows: x.rows, columns };
}

/** A copy or the array itself; what is written is not the device's to keep. */
function inPrecision(data: Float32Array | Float64Array, precision: MatrixProducts['precision']): Float32Array | Float64Array {
  if (precision === 'float64') return data instanceof Float64Array ? data : Float64Array.from(data);
  return data instanceof Float32Array ? data : Float32Array.from(data);
}
