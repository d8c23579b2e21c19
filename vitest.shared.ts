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
      // Long, because machines that test may be busy; what hangs is found all the same.
      testTimeout: 60_000,
      hookTimeout: 60_000,
      server: { deps: { inline: [/^@pare\//] } },
      ...overrides,
    },
  }) as ViteUserConfig;
}
