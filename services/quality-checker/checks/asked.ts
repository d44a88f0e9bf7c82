/** The checks that came with the task: what a person wants to see before anything is merged. */
import { defineCheck } from '../define-check.ts';

export default defineCheck({
  name: 'asked',
  order: 0,
  plan: ({ asked }) =>
    asked.map(({ name, command, timeout_ms }) => ({
      name,
      command,
      timeoutMs: timeout_ms,
      asked: true,
      reads: 'tests',
    })),
});
