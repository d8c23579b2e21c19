import { sourceFiles } from './workspace.js';

/** Folders with documents for readers. */
const folders = ['docs', 'packages', 'plugins', 'apps', 'tools', 'examples'];

/** Every markdown document of the repository that is no template, relative to the root. */
export function documents(): string[] {
  return ['README.md', 'CONTRIBUTING.md', ...folders.flatMap((folder) => sourceFiles(folder, (path) => path.endsWith('.md') && !path.includes('/templates/')))];
}
