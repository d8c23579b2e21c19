import { defineConfig, type ViteUserConfig } from 'vitest/config';

/** Settings shared by every package: packages resolve each other through their TypeScript source, never through stale builds. */
export function packageTests(directory: string, overrides: NonNullable<ViteUserConfig['test']> = {}): ViteUserConfig {
  return defineConfig({
    root: directory,
    resolve: { conditions: ['@pare/source'] },
    ssr: { resolve: { conditions: ['@pare/source'], externalConditions: ['@pare/source'] } },
    test: {
      include: ['src/**/*.test.ts'],
      environment: 'node',
      watch: false,
      reporters: process.env['CI'] ? ['default', 'json'] : ['default', 'json'],
      outputFile: { json: 'test-results/results.json' },
      testTimeout: 30_000,
      server: { deps: { inline: [/^@pare\//] } },
      ...overrides,
    },
  }) as ViteUserConfig;
}
