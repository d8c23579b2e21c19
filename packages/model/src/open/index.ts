export { configText } from './config-text.js';
export { describeModelFiles, modelFileNames, type ModelFile } from './model-files.js';
export { openModel, type OpenModelOptions } from './open-model.js';
export { parametersBeside, parametersOf, parameterValues, readParameter, storedParameter, type Parameter } from './parameters.js';
export { overlayModel, type ReplacementSummary } from './overlay-model.js';
export { describeModel, type DescribedOptions } from './described-model.js';
