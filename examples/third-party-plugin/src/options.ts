import type { OptionsSchema } from '@pare/core';

export interface TernaryOptions {
  readonly groupSize: number;
  readonly threshold: number;
}

const jsonSchema = {
  type: 'object',
  properties: {
    groupSize: { type: 'integer', default: 64, description: 'Weights of a row that share a scale; -1 for the whole row.' },
    threshold: { type: 'number', minimum: 0, default: 0.7, description: 'Weights up to this multiple of the mean magnitude become zero.' },
  },
  additionalProperties: false,
};

/** Any schema library that speaks Standard Schema does; so few options need none. */
export const options: OptionsSchema<TernaryOptions> = {
  '~standard': {
    version: 1,
    vendor: 'pare-technique-ternary',
    validate: (value) => {
      const given = (value ?? {}) as Record<string, unknown>;
      const issues = Object.keys(given)
        .filter((key) => !(key in jsonSchema.properties))
        .map((key) => ({ message: `unknown option "${key}"`, path: [key] }));
      const { groupSize = 64, threshold = 0.7 } = given;
      if (typeof groupSize !== 'number' || !Number.isInteger(groupSize) || (groupSize < 1 && groupSize !== -1)) issues.push({ message: 'expected a positive whole number or -1', path: ['groupSize'] });
      if (typeof threshold !== 'number' || !(threshold >= 0)) issues.push({ message: 'expected a number, 0 or more', path: ['threshold'] });
      return issues.length > 0 ? { issues } : { value: { groupSize: groupSize as number, threshold: threshold as number } };
    },
    jsonSchema: { input: () => jsonSchema, output: () => jsonSchema },
  },
};
