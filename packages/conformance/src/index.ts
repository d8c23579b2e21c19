export { backendCaseNames, describeBackend, type BackendConformanceOptions, type KnownFailure } from './backend/describe-backend.js';
export { runOnce, type BackendCase, type Tolerance } from './backend/backend-case.js';
