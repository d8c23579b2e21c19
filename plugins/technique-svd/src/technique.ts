import { apiVersion, defineTechnique, isPareError, throwIfAborted, type ModuleHandle, type Technique } from '@pare/core';
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
  async apply({ modules, backend, signal, progress }) {
    await using products = backendProducts(backend);
    for (const [index, module] of modules.entries()) {
      throwIfAborted(signal, 'SVD');
      progress.report({ completed: index, total: modules.length, unit: 'modules', detail: module.info.name });
      try {
        await factorizeModule(module, { products, signal });
      } catch (error) {
        if (isPareError(error)) error.place = { module: module.info.name, ...error.place };
        throw error;
      }
    }
    progress.report({ completed: modules.length, total: modules.length, unit: 'modules' });
  },
});

async function factorizeModule(module: ModuleHandle<SvdOptions>, context: FactorizationContext): Promise<void> {
  const [rows, columns] = module.info.shape;
  const { data } = await module.weight();
  const factors = await factorsOf({ data, rows, columns }, module, context);
  await replaceByFactors(module, factors, { loss: factors?.loss });
}
