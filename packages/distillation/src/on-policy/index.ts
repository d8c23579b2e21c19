export { samplingOptions, type SamplingTechniqueOptions } from './options.js';
export { promptTexts, type PromptText, type PromptTexts } from './prompt-texts.js';
export { predictingPosition, responseBatches, responseRows, type Average, type ResponseRows, type ResponseText } from './response-rows.js';
export { StudentGenerator } from './student-generator.js';
