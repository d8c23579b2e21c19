import { describeBackend } from '@pare/conformance';
import { NullBackend } from './null-backend.js';

describeBackend('null', () => new NullBackend(), { compare: 'structure' });
