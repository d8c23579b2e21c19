import type { FoldSite, SiteChoice } from '@pare/folding';
import type { SmoothquantOptions } from './options.js';

/** Inputs that come from a norm alone: no matrix takes the scales up. */
export function comesFromNorm({ sources }: FoldSite): boolean {
  return sources.every(({ kind }) => kind === 'vector');
}

/** Which sites are smoothed. */
export const smoothedSites: SiteChoice<SmoothquantOptions> = {
  wants: ({ targets: [first] }) => first.module.options.smooth,
  refuses: ({ site, targets: [first] }) => (first.module.options.sites === 'norms' && !comesFromNorm(site) ? 'it comes from no norm (sites: all takes it in)' : undefined),
};
