import { apiVersion, defineBackend, noOptions, type BackendPlugin } from '@pare/core';
import { NullBackend, nullDevice } from './null-backend.js';

/** Tracks shapes and bytes and computes nothing: for planning memory and for tests that need no numbers. Never chosen by itself. */
export const nullBackend: BackendPlugin<Record<string, never>> = defineBackend({
  id: 'null',
  api: apiVersion,
  title: 'Null',
  summary: 'Shapes and bytes without data, for planning and tests.',
  options: noOptions,
  score: () => Promise.resolve({ score: 0, reason: 'computes nothing; ask for it by name', device: nullDevice }),
  create: () => Promise.resolve(new NullBackend()),
});

export default nullBackend;
