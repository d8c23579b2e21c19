import { apiVersion, defineTechnique, eachModule, type ModuleHandle, type Technique } from '@pare/core';
import { backendProducts, checkFactorizable, factorsOf, planFactorized, replaceByFactors, type FactorizationContext } from '@pare/factorization';
import { svdOptions, type SvdOptions } from './options.js';

/**
 * Truncated singular value decomposition (Eckart & Young 1936; Denton et al. 2014, arXiv 1404.0736): W ≈ (U·√Σ)·(√Σ·Vᵀ) with the leading singular values, the
 * nearest matrix of that rank. Needs no data and knows nothing of the inputs; the baseline of all low-rank methods. The loss it reports is ‖W − Ŵ‖² = Σ σ² over
 * the values left out.
 */
export const svd: Technique<SvdOptions> = defineTechnique<SvdOptions>({
  id: 'svd',
  api: apiVersion,
  title: 'SVD',
  summary: 'Replaces each matrix by two of lower rank, its leading singular values and vectors; needs no data.',
  family: 'factorization',
  scope: 'tensor',
  paper: 'arXiv:1404.0736',
  options: svdOptions,
  accepts: ['dense'],
  produces: ['factorized', 'dense'],
  check: checkFactorizable,
  plan: (targets) => planFactorized('svd', targets),
  async apply(context) {
    const { backend, signal } = context;
    await using products = backendProducts(backend);
    await eachModule(context, 'SVD', (module) => factorizeModule(module, { products, signal }));
  },
});

async function factorizeModule(module: ModuleHandle<SvdOptions>, context: FactorizationContext): Promise<void> {
  const [rows, columns] = module.info.shape;
  const { data } = await module.weight();
  const factors = await factorsOf({ data, rows, columns }, module, context);
  await replaceByFactors(module, factors, { loss: factors?.loss });
}
