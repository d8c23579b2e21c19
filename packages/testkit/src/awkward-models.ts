import { temporaryDirectory } from './temporary-directory.js';
import { tinyModel, writeSyntheticLlama, type SyntheticSizes } from './tiny-model.js';

/** A model folder that is removed with everything beside it. */
export interface ModelFolder extends AsyncDisposable {
  readonly model: string;
}

/** How the folder of each model is made. */
const makers: Readonly<Record<string, () => Promise<ModelFolder>>> = {
  'grouped queries': () => tinyModel('llama'),
  'a tied head': () => tinyModel('llama-tied-rope-scaled'),
  experts: () => tinyModel('qwen3_moe'),
  'fused projections': () => tinyModel('phi3'),
  biases: () => tinyModel('opt'),
  'one block': () => syntheticModel({ layers: 1, vocabulary: 120 }),
  // Heads of 10 dimensions, rows of 30 and 45 weights: nothing that a power of two divides.
  'odd sizes': () => syntheticModel({ layers: 2, hidden: 30, intermediate: 45, heads: 3, vocabulary: 101 }),
};

/** Makes a tiny model with weights and tokenizer in a temporary folder, by what is awkward about it. */
export function awkwardModel(name: string): Promise<ModelFolder> {
  const maker = makers[name];
  if (maker === undefined) throw new Error(`there is no model with ${name}; there are: ${Object.keys(makers).join(', ')}`);
  return maker();
}

async function syntheticModel(sizes: SyntheticSizes): Promise<ModelFolder> {
  const folder = await temporaryDirectory();
  const model = folder.join('model');
  await writeSyntheticLlama(model, sizes);
  return { ...folder, model };
}
