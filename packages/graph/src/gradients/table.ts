import { elementwiseGradients } from './elementwise.js';
import { indexingGradients } from './indexing.js';
import { matrixGradients } from './matrix.js';
import { microsoftGradients } from './microsoft.js';
import { normalisationGradients } from './normalisation.js';
import { reductionGradients } from './reduction.js';
import { type GradientRule } from './rule.js';
import { shapingGradients } from './shaping.js';
import { windowGradients } from './windows.js';

/** Every gradient by `domain::Operator` (`operatorKey`). Operators whose outputs are integers or truth values need none: no gradient goes through them. */
export const gradientRules: ReadonlyMap<string, GradientRule> = new Map(
  Object.entries({
    ...elementwiseGradients,
    ...reductionGradients,
    ...matrixGradients,
    ...shapingGradients,
    ...indexingGradients,
    ...normalisationGradients,
    ...windowGradients,
    ...microsoftGradients,
  }),
);
