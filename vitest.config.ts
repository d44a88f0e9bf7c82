import { configDefaults, defineConfig } from 'vitest/config';

/** Beside the code, but with real agents, gates and process trees: half of what all tests there need. */
const processes = [
  'scripts/options.test.ts',
  'scripts/rehearsal/rehearsal.test.ts',
  'services/finalizer/edges.test.ts',
  'services/finalizer/release.test.ts',
  'services/quality-checker/apart.test.ts',
  'services/quality-checker/faults.test.ts',
  'services/quality-checker/fenced.test.ts',
  'services/quality-checker/gate-runs.test.ts',
  'services/quality-checker/gate.test.ts',
  'services/worker-agent/attempt.test.ts',
  'services/worker-agent/carried-agent.test.ts',
  'services/worker-agent/ended.test.ts',
  'services/worker-agent/large-files.test.ts',
  'services/worker-agent/on-subtask-dispatched.test.ts',
  'services/worker-agent/relief.test.ts',
  'services/worker-agent/run-program.test.ts',
  'services/worker-agent/runtimes/claude-code/doors.test.ts',
  'services/worker-agent/runtimes/claude-code/evidence.test.ts',
  'services/worker-agent/runtimes/claude-code/look.test.ts',
  'services/worker-agent/runtimes/claude-code/runs.test.ts',
  'services/worker-agent/runtimes/claude-code/sessions.test.ts',
  'services/worker-agent/openai/attempt.test.ts',
  'services/worker-agent/runtimes/conformance.test.ts',
  'services/worker-agent/supervise.test.ts',
  'shared/src/process/limits.test.ts',
  'shared/src/model/ask-claude.test.ts',
  'shared/src/process/process.test.ts',
  'shared/src/process/sandbox.test.ts',
];
// They wait for git and for agents more than they reckon: one a core would leave the cores idle.
const beside = { testTimeout: 20_000, maxWorkers: 3 };

/** One file for every kind of test; `globalSetup` of a project runs only when that project runs. */
export default defineConfig({
  test: {
    projects: [
      {
        test: {
          ...beside,
          name: 'unit',
          include: ['{shared,services,scripts}/**/*.test.ts'],
          exclude: [...configDefaults.exclude, ...processes],
        },
      },
      {
        test: { ...beside, name: 'processes', include: processes, globalSetup: ['test/tools/claude-setup.ts'] },
      },
      {
        test: {
          name: 'integration',
          include: ['test/integration/**/*.test.ts', 'test/chaos/**/*.test.ts'],
          globalSetup: ['test/tools/redis.ts', 'test/tools/claude-setup.ts'],
          testTimeout: 60_000,
          hookTimeout: 60_000,
        },
      },
      { test: { name: 'simulation', include: ['test/simulation/**/*.test.ts'], testTimeout: 120_000 } },
      { test: { name: 'e2e', include: ['test/e2e/**/*.test.ts'], testTimeout: 600_000, hookTimeout: 600_000 } },
    ],
  },
});
