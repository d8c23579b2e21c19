export { type Adapter } from './adapter.js';
