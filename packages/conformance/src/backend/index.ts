export { backendCaseNames, describeBackend, type BackendConformanceOptions, type KnownFailure } from './describe-backend.js';
export { runOnce, type BackendCase, type Tolerance } from './backend-case.js';
