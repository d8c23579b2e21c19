import { describeBackend } from '@pare/conformance';
import { ReferenceBackend } from './reference-backend.js';

describeBackend('reference', () => new ReferenceBackend());
