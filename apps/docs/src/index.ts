export { runTutorial, tutorials } from './tutorials.js';
