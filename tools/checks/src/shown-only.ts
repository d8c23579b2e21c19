/** Commands that documents show and no test runs or parses, each with the reason. A command is listed by the words it begins with. */
export const shownOnly: Readonly<Record<string, string>> = {
  'git clone': 'needs the address of a repository',
  'npm ci': 'what continuous integration begins with',
  'npm run build': 'what continuous integration begins with',
  'npm install': 'needs a registry; the tests of tarballs install everything there is',
  'npm init': 'begins a package in the folder of the reader',
  'npm pkg': 'changes the package of the reader',
  'npm pack': 'the tests of tarballs pack everything there is',
  'npm create': 'needs a registry; the tests of create-pare-plugin run what it runs',
  'npm publish': 'publishes',
  'npm test': 'what continuous integration runs, in the package of the reader',
  'apt-get install': 'changes the machine',
  'pip install': 'changes the machine; Python is needed for comparisons alone',
  'npx nx g': 'the tests of the generators run them',
  'npx nx test': 'what continuous integration runs',
  'npx vitest': 'what continuous integration runs',
};

/** Programs of any shell that documents use in between. */
const shellWords = new Set(['cd', 'export', 'cp', 'mkdir', 'ls', 'cat', 'source']);

/** Whether a command is one that nothing can run. */
export function isShownOnly(words: readonly string[]): boolean {
  const text = words.join(' ');
  return shellWords.has(words[0] ?? '') || Object.keys(shownOnly).some((start) => text.startsWith(start));
}
