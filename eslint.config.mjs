import nx from '@nx/eslint-plugin';
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
      '@nx/enforce-module-boundaries': ['error', { enforceBuildableLibDependency: true, allow: ['../../vitest.shared.ts', '../../vitest.webgpu.ts'], depConstraints: boundaries }],
    },
  },
  {
    // Tests may use the test kits and any plugin; what is shipped may not.
    files: ['**/*.test.ts', '**/vitest.config.ts'],
    rules: {
      '@typescript-eslint/no-empty-function': 'off',
      '@nx/enforce-module-boundaries': [
        'error',
        { allow: ['../../vitest.shared.ts', '../../vitest.webgpu.ts'], checkDynamicDependenciesExceptions: ['.*'], depConstraints: [{ sourceTag: '*', onlyDependOnLibsWithTags: ['*'], bannedExternalImports: container }] },
      ],
    },
  },
  {
    // Examples lie outside the workspace: they are what others write.
    files: ['examples/**'],
    rules: { '@nx/enforce-module-boundaries': 'off' },
  },
);
