import { describeBackend } from '@pare/conformance';
import { cudaBackend } from './index.js';
import { optionsSchema } from './options.js';

const silent = { debug() {}, info() {}, warn() {}, error() {} };

describeBackend('cuda', () => cudaBackend.create(optionsSchema.parse({}), { log: silent }));
