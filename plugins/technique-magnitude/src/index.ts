import { magnitude } from './technique.js';

export { magnitude, magnitude as default };
export { magnitudeOptions, type MagnitudeOptions } from './options.js';
