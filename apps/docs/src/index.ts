export { app, output, renderSite, site, writePages } from './build-site.js';
export { deadSiteLinks } from './site-links.js';
export type { Page } from './page.js';
export { missingLines, runTutorial, tutorialSteps, tutorials, type TutorialStep } from './tutorials.js';
