import { defineTechnique, noOptions } from '@pare/core';

/* Techniques with one thing wrong each. The compiler must refuse every one, which the build checks, and say what is wrong, which src/types/wrong-shapes.test.ts checks. */

const rest = { id: 'x', api: 1, title: 'X', summary: 'Does nothing at all.', scope: 'tensor', accepts: ['dense'] } as const;
const right = { ...rest, family: 'quantization', produces: ['dense'], options: noOptions, plan: () => [], apply: () => Promise.resolve() } as const;

// @ts-expect-error without apply
defineTechnique({ ...rest, family: 'quantization', produces: ['dense'], options: noOptions, plan: () => [] });

// @ts-expect-error a family that is none
defineTechnique({ ...right, family: 'quantisation' });

// @ts-expect-error a form that is none
defineTechnique({ ...right, produces: ['int4'] });

// @ts-expect-error a plan without figures
defineTechnique({ ...right, plan: (targets) => targets.map(({ info }) => ({ module: info.name, produces: 'dense', bits: 4 })) });

// @ts-expect-error an apply that nobody can wait for
defineTechnique({ ...right, apply: () => undefined });

// @ts-expect-error a slip of the keyboard
defineTechnique({ ...right, statistic: () => [] });

// @ts-expect-error options that are no schema
defineTechnique({ ...right, options: { bits: 4 } });

defineTechnique({
  ...right,
  apply: async ({ modules }) => {
    // @ts-expect-error a result without its shape
    for (const module of modules) await module.replace({ form: 'dense', tensor: await module.weight() });
  },
});
