import { defineConfig } from 'vitest/config';

/** One file for every kind of test; `globalSetup` of a project runs only when that project runs. */
export default defineConfig({
  test: {
    projects: [
      {
        test: {
          name: 'unit',
          include: ['{shared,services,scripts}/**/*.test.ts'],
          testTimeout: 20_000,
          // They wait for git and for agents more than they reckon: one a core would leave the cores idle.
          maxWorkers: 3,
        },
      },
      {
        test: {
          name: 'integration',
          include: ['test/integration/**/*.test.ts', 'test/chaos/**/*.test.ts'],
          globalSetup: ['test/tools/redis.ts'],
          testTimeout: 60_000,
          hookTimeout: 60_000,
        },
      },
      { test: { name: 'simulation', include: ['test/simulation/**/*.test.ts'], testTimeout: 120_000 } },
      { test: { name: 'e2e', include: ['test/e2e/**/*.test.ts'], testTimeout: 600_000, hookTimeout: 600_000 } },
    ],
  },
});
