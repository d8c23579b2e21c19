export { backendCaseNames, describeBackend, type BackendConformanceOptions, type KnownFailure } from './backend/describe-backend.js';
export { runOnce, type BackendCase, type Tolerance } from './backend/backend-case.js';
export { describeTechnique } from './technique/describe-technique.js';
export { type LayerSample, type TechniqueConformanceOptions, type TechniqueResult, type TechniqueRun } from './technique/technique-subject.js';
export { awkwardLayers, randomLayer, usualLayers } from './technique/layer-samples.js';
