import { apiVersion, defineTechnique, dtypeBits, eachModule, type ModuleHandle, type ModulePlan, type TargetModule, type Technique, type WeightForm } from '@pare/core';
import { dynamicTokenInput, inputSchemeFor, inputTargetProblem, planUnderMask, quantizedBits, resolveScaleType, resolveScheme, squaredError, withInput } from '@pare/weights';
import { groupProblem, planFactors, rankProblem, roundFactors } from './factors.js';
import { rtnOptions, type RtnOptions } from './options.js';
import { roundMatrix } from './rounding.js';

/**
 * Rounds every weight to the nearest point of a uniform affine grid (Jacob et al. 2018, arXiv 1712.05877): the baseline of all integer methods,
 * and all that 8 bits need. The loss it reports is Σ (ŵ − w)², over both factors of a factorized matrix.
 */
export const rtn: Technique<RtnOptions> = defineTechnique<RtnOptions>({
  id: 'rtn',
  api: apiVersion,
  title: 'Round to nearest',
  summary: 'Rounds weights to integers of 2 to 8 bits, symmetric or with zero points, or to 8-bit floats, per matrix, output or group; needs no data.',
  family: 'quantization',
  scope: 'tensor',
  paper: 'arXiv:1712.05877',
  options: rtnOptions,
  accepts: ['dense', 'quantized', 'sparse', 'factorized'],
  produces: ['quantized', 'sparse', 'factorized'],
  check({ info, options, before }) {
    const { shape } = info;
    const form = before?.produces ?? info.form;
    if (options.numbers === 'float8-e4m3' && (options.bits !== 8 || !options.symmetric || options.clip !== 'minmax')) {
      return 'numbers float8-e4m3 have 8 bits, no zero points and no clip search; set bits: 8, symmetric: true, clip: minmax';
    }
    const rank = before?.produces === 'factorized' ? before.rank : undefined;
    return (
      groupProblem(`${String(shape[1])} inputs`, shape[1], options) ??
      (rank === undefined ? undefined : rankProblem(rank, options)) ??
      inputTargetProblem(options.activations, { ...info, form })
    );
  },
  plan: (targets) => targets.map(planModule),
  apply: (context) => eachModule(context, 'rounding', (module) => roundModule(module, context.signal)),
});

async function roundModule(module: ModuleHandle<RtnOptions>, signal: AbortSignal): Promise<void> {
  const { info, options } = module;
  if (module.before?.produces === 'factorized') {
    const found = await module.form();
    if (found.form === 'factorized') {
      const { form, report } = await roundFactors(found, info, options, signal);
      return module.replace(form, report);
    }
  }
  const { data } = await module.weight();
  const rounded = await roundMatrix(data, info.shape, options, resolveScaleType(options.scaleType, info.dtype), signal);
  const values = withInput(rounded, options.activations === 'none' ? undefined : dynamicTokenInput);
  const before = module.before?.produces === 'sparse' ? await module.form() : undefined;
  // Zero is a point of every grid, so what an earlier stage pruned stays exactly zero.
  const form: WeightForm = before?.form === 'sparse' ? { ...before, values } : values;
  await module.replace(form, { loss: squaredError(data, values) });
}

function planModule({ info, options, before }: TargetModule<RtnOptions>): ModulePlan {
  const [rows, columns] = info.shape;
  const scheme = resolveScheme(options, columns);
  const weights = rows * columns;
  // Divide, round, clamp, subtract; the clip search repeats that for some twenty candidates that the extremes do not rule out.
  const flops = weights * (options.clip === 'mse' ? 100 : 5);
  const plan: ModulePlan = {
    module: info.name,
    produces: 'quantized',
    storedBits: quantizedBits(info.shape, scheme, resolveScaleType(options.scaleType, info.dtype)),
    bits: scheme.bits,
    groupSize: scheme.groupSize,
    symmetric: scheme.symmetric,
    ...(scheme.numbers === undefined ? {} : { numbers: scheme.numbers }),
    groupIndex: false,
    input: inputSchemeFor(options.activations),
    flops,
    // The stored weight, its float32 copy and the codes.
    workingBytes: weights * (dtypeBits(info.dtype) / 8 + 4 + 1),
  };
  // Factors are no larger than the matrix.
  if (before?.produces === 'factorized') return { ...plan, ...planFactors(info, options, before) };
  return planUnderMask(plan, info.shape, before);
}
