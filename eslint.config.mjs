import nx from '@nx/eslint-plugin';
import { existsSync, readFileSync, readdirSync } from 'node:fs';
import tseslint from 'typescript-eslint';

const container = ['tsyringe', 'reflect-metadata'];

/** Who may import whom. `docs/decisions/0002-import-directions.md` says why. */
const boundaries = [
  { sourceTag: 'layer:contract', onlyDependOnLibsWithTags: ['layer:contract'], allowedExternalImports: ['@standard-schema/spec', 'vitest', 'vitest/config'] },
  { sourceTag: 'layer:shared', onlyDependOnLibsWithTags: ['layer:contract', 'layer:shared'], bannedExternalImports: container },
  { sourceTag: 'layer:kernel', onlyDependOnLibsWithTags: ['layer:contract', 'layer:shared', 'layer:kernel'] },
  { sourceTag: 'layer:plugin', onlyDependOnLibsWithTags: ['layer:contract', 'layer:shared'], bannedExternalImports: container },
  { sourceTag: 'layer:preset', onlyDependOnLibsWithTags: ['layer:contract', 'layer:shared', 'layer:plugin', 'layer:preset'], bannedExternalImports: container },
  { sourceTag: 'layer:test', onlyDependOnLibsWithTags: ['layer:contract', 'layer:shared', 'layer:kernel', 'layer:plugin', 'layer:test'], bannedExternalImports: container },
  { sourceTag: 'layer:app', onlyDependOnLibsWithTags: ['layer:contract', 'layer:shared', 'layer:kernel', 'layer:plugin', 'layer:preset', 'layer:app'], bannedExternalImports: container },
  { sourceTag: 'layer:tool', onlyDependOnLibsWithTags: ['*'], bannedExternalImports: container },
];

/** Packages whose tags promise that they run in a browser, too. `docs/decisions/0007-files-and-the-browser.md` says how. */
const anywhere = ['packages', 'plugins'].flatMap((group) =>
  readdirSync(new URL(group, import.meta.url)).filter((name) => {
    const manifest = new URL(`${group}/${name}/package.json`, import.meta.url);
    return existsSync(manifest) && JSON.parse(readFileSync(manifest, 'utf8')).nx?.tags?.includes('runtime:any');
  }).map((name) => `${group}/${name}`),
);
const absentInBrowsers = ['process', 'Buffer', 'global', 'setImmediate', '__dirname', '__filename', 'require'];

export default tseslint.config(
  { ignores: ['**/dist', '**/out-tsc', '**/*.gen.ts', '**/node_modules', '**/assembly', '**/test-results', '**/vitest.config.*.timestamp*'] },
  ...nx.configs['flat/base'],
  {
    files: ['**/*.ts', '**/*.mts'],
    extends: [...tseslint.configs.strict, ...tseslint.configs.stylistic],
    rules: {
      '@typescript-eslint/consistent-type-imports': ['error', { fixStyle: 'inline-type-imports' }],
      '@typescript-eslint/no-non-null-assertion': 'off',
      '@typescript-eslint/no-unused-vars': ['error', { argsIgnorePattern: '^_', varsIgnorePattern: '^_' }],
      '@typescript-eslint/array-type': ['error', { default: 'array' }],
      'no-console': 'error',
      eqeqeq: ['error', 'always'],
    },
  },
  {
    files: ['**/*.ts', '**/*.mts', '**/*.mjs'],
    rules: {
      '@nx/enforce-module-boundaries': ['error', { enforceBuildableLibDependency: true, allow: ['../../vitest.shared.ts', '../../vitest.webgpu.ts', '../../chromium.mjs', '^#[a-z-]+$'], depConstraints: boundaries }],
    },
  },
  {
    files: anywhere.map((path) => `${path}/src/**/*.ts`),
    // What only Node reaches lies apart: entry points of its own, and the other side of a `#` import.
    ignores: ['**/*.test.ts', '**/testing.ts', '**/src/node.ts', '**/src/node/**', '**/src/node-only/**', 'packages/model/src/hub/**', 'packages/runtime/src/config.ts', 'packages/runtime/src/scan.ts'],
    rules: {
      'no-restricted-globals': ['error', ...absentInBrowsers.map((name) => ({ name, message: 'This package runs in browsers, too.' }))],
      '@typescript-eslint/no-restricted-imports': [
        'error',
        { patterns: [{ group: ['node:*'], allowTypeImports: true, message: 'This package runs in browsers, too; @pare/platform has what differs.' }] },
      ],
    },
  },
  {
    // Tests may use the test kits and any plugin; what is shipped may not.
    files: ['**/*.test.ts', '**/vitest.config.ts'],
    rules: {
      '@typescript-eslint/no-empty-function': 'off',
      '@nx/enforce-module-boundaries': [
        'error',
        { allow: ['../../vitest.shared.ts', '../../vitest.webgpu.ts', '../../../chromium.mjs'], checkDynamicDependenciesExceptions: ['.*'], depConstraints: [{ sourceTag: '*', onlyDependOnLibsWithTags: ['*'], bannedExternalImports: container }] },
      ],
    },
  },
  {
    // Examples lie outside the workspace: they are what others write.
    files: ['examples/**'],
    rules: { '@nx/enforce-module-boundaries': 'off' },
  },
);
