import { sectionOf } from './headings.js';
import { readText, workspacePackages } from './workspace.js';

/** What a reader of a technique's README, which is also its page on the site, has to find. */
const techniqueSections = ['When to use it', 'Why it works', 'Limits', 'Paper'] as const;

/** Sections that a README lacks. */
export function missingSections(readme: string): string[] {
  return techniqueSections.filter((title) => (sectionOf(readme, title) ?? '') === '');
}

/** Every technique's README says when to use it, why it works, where it ends, and what it is from. */
export function checkTechniqueReadmes(): string[] {
  return workspacePackages()
    .filter(({ manifest }) => manifest.pare?.kind === 'technique')
    .flatMap(({ path }) => missingSections(readText(`${path}/README.md`)).map((title) => `${path}/README.md: section "## ${title}" is missing or empty`));
}
