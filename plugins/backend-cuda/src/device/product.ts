import type { KernelSource } from '@pare/executor';
import type { MatrixPlace, ProductPlan } from '../libraries/cublaslt.js';

/* Products of cuBLASLt among the kernels of a program: everything that the library needs to know goes into the constants of a kernel without a text. */

/** What is added to a product by the library: nothing, a matrix of y's shape, or a row. */
export type Addend = 'none' | 'matrix' | 'bias';

const library = 'cublaslt';
const addends: readonly Addend[] = ['none', 'matrix', 'bias'];
const computeTypes: readonly ProductPlan['compute'][] = ['float32', 'tf32', 'float64'];
const elementTypes: readonly ProductPlan['type'][] = ['float32', 'bfloat16', 'float64'];
const places = ['a', 'b', 'c', 'y'] as const;

/** A product with what is added: operands are a, b, the addend if there is one, y. */
export function productSource(plan: Omit<ProductPlan, 'bias'>, addend: Addend): KernelSource {
  const { m, n, k, batch, alpha, beta } = plan;
  const layout = places.flatMap((name) => Object.entries(plan[name]).map(([part, value]) => [`${name}.${part}`, value as number]));
  const constants: Record<string, number> = {
    ...{ m, n, k, batch, alpha, beta, transposeA: Number(plan.transposeA), transposeB: Number(plan.transposeB) },
    ...{ type: elementTypes.indexOf(plan.type), compute: computeTypes.indexOf(plan.compute), addend: addends.indexOf(addend) },
    ...(Object.fromEntries(layout) as Record<string, number>),
  };
  return { name: `matmul-${plan.type === 'float32' ? plan.compute : plan.type}`, code: '', entry: 'matmul', constants, library };
}

/** The plan that `productSource` wrote. @throws TypeError for another library's kernel */
export function productOf({ name, constants, library: asked }: KernelSource): { readonly plan: ProductPlan; readonly addend: Addend } {
  if (asked !== library) throw new TypeError(`kernel ${name} asks for the library "${String(asked)}", and only ${library} is here`);
  const value = (key: string): number => {
    const found = constants[key];
    if (found === undefined) throw new TypeError(`product ${name} lacks ${key}`);
    return found;
  };
  const place = (matrix: (typeof places)[number]): MatrixPlace => ({
    first: value(`${matrix}.first`),
    row: value(`${matrix}.row`),
    batchStride: value(`${matrix}.batchStride`),
  });
  const addend = addends[value('addend')]!;
  const plan: ProductPlan = {
    ...{ m: value('m'), n: value('n'), k: value('k'), batch: value('batch'), alpha: value('alpha'), beta: value('beta') },
    ...{ transposeA: value('transposeA') !== 0, transposeB: value('transposeB') !== 0, bias: addend === 'bias' },
    ...{ type: elementTypes[value('type')]!, compute: computeTypes[value('compute')]! },
    ...{ a: place('a'), b: place('b'), c: place('c'), y: place('y') },
  };
  return { plan, addend };
}
