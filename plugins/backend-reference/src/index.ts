import { apiVersion, defineBackend, noOptions, type BackendPlugin } from '@pare/core';
import { ReferenceBackend, referenceDevice } from './reference-backend.js';

/** Runs graphs in scalar TypeScript on the host: slow, obvious, the oracle for all other backends. Runs everywhere. */
export const referenceBackend: BackendPlugin<Record<string, never>> = defineBackend({
  id: 'reference',
  api: apiVersion,
  title: 'Reference',
  summary: 'Scalar TypeScript, one operator at a time: slow and obvious, the oracle for other backends.',
  options: noOptions,
  score: () => Promise.resolve({ score: 1, reason: 'runs everywhere, slowly', device: referenceDevice }),
  create: () => Promise.resolve(new ReferenceBackend()),
});

export default referenceBackend;
