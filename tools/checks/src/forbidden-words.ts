import { readText, sourceFiles } from './workspace.js';

/** A pattern that must not occur, where, and why. */
export interface Rule {
  readonly pattern: RegExp;
  readonly reason: string;
  readonly files: (path: string) => boolean;
}

const isTest = (path: string): boolean => path.endsWith('.test.ts');
const everywhere = (): boolean => true;

export const rules: readonly Rule[] = [
  { pattern: /\b(TODO|FIXME|XXX|HACK)\b/, reason: 'unfinished work belongs into an issue', files: everywhere },
  { pattern: /\b(it|test|describe)\.(only|skip|todo|skipIf|runIf)\b/, reason: 'tests run, all of them', files: isTest },
  { pattern: /@ts-(ignore|nocheck)/, reason: 'use @ts-expect-error with a reason', files: everywhere },
  { pattern: /(^|[\s"'`(])\/(work|root|home)\//, reason: "a path of someone's machine", files: everywhere },
  { pattern: /\.\.\/shared\//, reason: 'a folder outside the repository', files: everywhere },
  { pattern: /registry\.npmjs\.org|jfrog|artifactory/i, reason: 'a registry host', files: everywhere },
  { pattern: /\b(lorem ipsum|coming soon|work in progress|not yet implemented|not implemented yet)\b/i, reason: 'a placeholder', files: everywhere },
];

/** Text files of the repository that rules apply to; this file holds the patterns themselves. */
const textual = (path: string): boolean => /\.(ts|mts|mjs|js|json|md|yaml|yml)$/.test(path) && path !== 'package-lock.json' && !path.endsWith('src/forbidden-words.ts') && !path.includes('/assembly/');

/** What of a text breaks the rules, with line numbers. */
export function violations(path: string, text: string): string[] {
  return text.split('\n').flatMap((line, index) => rules.filter((rule) => rule.files(path) && rule.pattern.test(line)).map((rule) => `${path}:${String(index + 1)}: ${rule.pattern.exec(line)![0].trim()}: ${rule.reason}`));
}

/** Violations in the whole repository. */
export function checkForbiddenWords(): string[] {
  const files = ['packages', 'plugins', 'apps', 'tools', 'docs', 'examples/third-party-plugin', 'examples/kernel-plugin', 'examples/host-node'].flatMap((folder) => sourceFiles(folder, textual));
  return [...files, 'README.md', 'CONTRIBUTING.md'].flatMap((path) => violations(path, readText(path)));
}
