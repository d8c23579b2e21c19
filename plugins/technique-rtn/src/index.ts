import { rtn } from './technique.js';

export { rtn, rtn as default };
export { rtnOptions, type RtnOptions } from './options.js';
