import { defineConfig, type ViteUserConfig } from 'vitest/config';

/** Plugins that nothing else in the workspace imports. */
const leaf = /[\\/]plugins[\\/](technique|evaluator|format|preset)-[^\\/]+$/;

/**
 * Settings shared by every package: packages resolve each other through their TypeScript source, never through stale builds. `npm run verify`, which has built everything just before, has
 * plugins that nothing imports load what was built, in half of the time.
 */
export function packageTests(directory: string, overrides: NonNullable<ViteUserConfig['test']> = {}): ViteUserConfig {
  const built = process.env['PARE_TEST_AGAINST_BUILD'] === '1' && leaf.test(directory);
  return defineConfig({
    root: directory,
    ...(built ? {} : { resolve: { conditions: ['@pare/source'] }, ssr: { resolve: { conditions: ['@pare/source'], externalConditions: ['@pare/source'] } } }),
    test: {
      include: ['src/**/*.test.ts'],
      environment: 'node',
      watch: false,
      reporters: ['default', 'json'],
      outputFile: { json: 'test-results/results.json' },
      // Long, because machines that test may be busy; what hangs is found all the same.
      testTimeout: 60_000,
      hookTimeout: 60_000,
      server: { deps: built ? { external: [/[\\/](packages|plugins|apps)[\\/][^\\/]+[\\/]dist[\\/]/] } : { inline: [/^@pare\//] } },
      ...overrides,
    },
  }) as ViteUserConfig;
}
