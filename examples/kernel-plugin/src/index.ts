import { defineTechnique, float32Tensor, throwIfAborted, type OptionsSchema } from '@pare/core';
import { devicePrograms } from '@pare/executor';
import { softThresholdOnDevice } from './kernel.js';
import { softThreshold } from './soft-threshold.js';
// A bundler puts the text of the file here (`--loader:.wgsl=text`).
import code from './soft-threshold.wgsl';

export interface SoftThresholdOptions {
  readonly strength: number;
}

const defaults: SoftThresholdOptions = { strength: 0.3 };

const options: OptionsSchema<SoftThresholdOptions> = {
  '~standard': {
    version: 1,
    vendor: 'pare-technique-soft-threshold',
    validate(value) {
      const { strength = defaults.strength, ...rest } = (value ?? {}) as Partial<SoftThresholdOptions>;
      const unknown = Object.keys(rest)[0];
      if (unknown !== undefined) return { issues: [{ message: `unknown option "${unknown}"`, path: [unknown] }] };
      if (typeof strength !== 'number' || !(strength >= 0)) return { issues: [{ message: 'a number, at least 0', path: ['strength'] }] };
      return { value: { strength } };
    },
    jsonSchema: {
      input: () => ({
        type: 'object',
        additionalProperties: false,
        properties: { strength: { type: 'number', minimum: 0, default: defaults.strength, description: 'Threshold in mean magnitudes of a row.' } },
      }),
      output: () => ({ type: 'object' }),
    },
  },
};

/** Shrinks every weight towards zero (Donoho 1995): on the device where it has WGSL kernels, in TypeScript elsewhere. */
export const softThresholding = defineTechnique({
  id: 'soft-threshold',
  api: 1,
  title: 'Soft thresholding',
  summary: 'Shrinks every weight towards zero by a share of its row\'s mean magnitude; small ones become zero.',
  family: 'pruning',
  scope: 'tensor',
  paper: 'doi 10.1109/18.382009',
  options,
  accepts: ['dense'],
  produces: ['dense'],
  plan: (targets) =>
    targets.map(({ info: { name, shape } }) => ({
      module: name,
      produces: 'dense',
      storedBits: shape[0] * shape[1] * 32,
      flops: 4 * shape[0] * shape[1],
      workingBytes: 8 * shape[0] * shape[1],
    })),
  async apply({ modules, backend, signal }) {
    const programs = backend.capability(devicePrograms);
    for (const module of modules) {
      throwIfAborted(signal, 'soft thresholding');
      const { data } = await module.weight();
      const [rows, columns] = module.info.shape;
      const { strength } = module.options;
      const values = programs?.traits.language === 'WGSL' ? await softThresholdOnDevice(programs, code, data, rows, columns, strength) : softThreshold(data, rows, columns, strength);
      await module.replace({ form: 'dense', shape: [rows, columns], tensor: float32Tensor([rows, columns], values) });
    }
  },
});

export default softThresholding;
