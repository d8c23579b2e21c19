import { apiVersion, defineTechnique, eachModule, type Backend, type GramMatrix, type ModuleHandle, type Technique } from '@pare/core';
import { backendProducts, balanceFactors, checkFactorizable, factorsOf, planFactorized, replaceByFactors, type FactorizationContext, type Factors } from '@pare/factorization';
import { fewTokens, gramStatistic } from '@pare/model';
import { hostProducts, solveLowerFromRight, type Matrix } from '@pare/solvers';
import { svdLlmOptions, type SvdLlmOptions } from './options.js';
import { whiten, type Whitening } from './whitening.js';

/**
 * SVD-LLM's truncation-aware whitening (Wang et al. 2024, arXiv 2403.07378, section 3.1): with X·Xᵀ = L·Lᵀ over the calibration inputs and W·L = U·Σ·Vᵀ, the factors
 * U·√Σ and √Σ·Vᵀ·L⁻¹ of the leading singular values change the outputs least of all of their rank, and ‖(W − Ŵ)·X‖² is the sum of the squared values left out. The
 * loss it reports is that sum divided by the number of tokens, damping included. The paper's update of the factors by fine-tuning is no part of it.
 */
export const svdLlm: Technique<SvdLlmOptions> = defineTechnique<SvdLlmOptions>({
  id: 'svd-llm',
  api: apiVersion,
  title: 'SVD-LLM',
  summary: 'Replaces each matrix by two of lower rank that change its outputs on calibration data least.',
  family: 'factorization',
  scope: 'block',
  paper: 'arXiv:2403.07378',
  options: svdLlmOptions,
  accepts: ['dense'],
  produces: ['factorized', 'dense'],
  statistics: () => [gramStatistic],
  check: checkFactorizable,
  plan: (targets) =>
    planFactorized('svd-llm', targets, ({ info: { shape } }) => {
      const [rows, columns] = shape;
      // W·L, and the solution for L⁻¹; the Gram matrix as it is and its root.
      return { flops: columns ** 3 / 3 + 3 * rows * columns ** 2, bytes: columns ** 2 * (4 + 4 + 8) };
    }),
  async apply(context) {
    const { backend, signal } = context;
    await using products = backendProducts(backend);
    const rootOf = sharedRoots(backend);
    await eachModule(context, 'SVD-LLM', (module) => factorizeModule(module, rootOf, { products, signal }));
  },
});

type RootOf = (gram: GramMatrix, size: number, damping: number) => Promise<Whitening | undefined>;

/** Modules that read the same input share a Gram matrix (one object), and so its root. The last one is kept. */
function sharedRoots(backend: Backend): RootOf {
  let last: { readonly gram: GramMatrix; readonly damping: number; readonly root: Promise<Whitening | undefined> } | undefined;
  return (gram, size, damping) => {
    if (last?.gram !== gram || last.damping !== damping) {
      const root = backend.read(gram.matrix).then(({ data }) => whiten(data as Float32Array | Float64Array, size, damping));
      last = { gram, damping, root };
    }
    return last.root;
  };
}

async function factorizeModule(module: ModuleHandle<SvdLlmOptions>, rootOf: RootOf, context: FactorizationContext): Promise<void> {
  const { info, options } = module;
  const [rows, columns] = info.shape;
  const gram = await module.statistic(gramStatistic);
  const { rows: tokens } = gram;
  const weight: Matrix = { data: (await module.weight()).data, rows, columns };
  const whitening = tokens < options.minimumTokens ? undefined : await rootOf(gram, columns, options.damping);
  if (whitening === undefined) {
    const without = 'factorized without regard to inputs';
    const fallback = tokens < options.minimumTokens ? fewTokens(tokens, options.minimumTokens, without) : `its inputs were always zero; ${without}`;
    const factors = await factorsOf(weight, module, context);
    return replaceByFactors(module, factors, { fallback, details: { tokens } });
  }
  const factors = await whitenedFactors(weight, whitening, module, context);
  return replaceByFactors(module, factors, { loss: factors === undefined ? undefined : factors.loss / tokens, details: { tokens, damping: whitening.damping } });
}

/** The factors of W·L, the right one times L⁻¹. */
async function whitenedFactors(weight: Matrix, { root }: Whitening, module: ModuleHandle<SvdLlmOptions>, context: FactorizationContext): Promise<Factors | undefined> {
  const { products, signal } = context;
  const { rows, columns: size } = weight;
  const lower: Matrix = { data: root, rows: size, columns: size };
  const scaled = await products.with(lower, signal, (device) =>
    // In float64 wherever it is computed: small directions of the inputs matter here as much as they weigh.
    (device.precision === 'float64' ? device : hostProducts(lower, { signal })).times({ data: Float64Array.from(weight.data), rows, columns: size }),
  );
  const factors = await factorsOf(scaled, module, context);
  if (factors === undefined) return undefined;
  solveLowerFromRight(factors.right.data, root, size);
  balanceFactors(factors);
  return factors;
}
