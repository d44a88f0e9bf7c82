import type { TaskDetail } from '@nexus/shared/client';
import { expect, test } from 'vitest';
import { changeLines } from './progress.ts';
import { waitingLines, wayOn } from './waiting-lines.ts';

const at = '2027-01-01T12:30:00.000Z';
const spentOf = (scope: string, what = 'USD') =>
  `BUDGET_SPENT: The budget of ${scope} is spent: 1 of 1 ${what} are used or reserved, and 1 more are needed.`;

test.each([
  ['its task’s budget', spentOf('the task t-1'), 'nexus budget t-1 --usd N, or nexus cancel t-1'],
  ['its task’s tokens', spentOf('the task t-1', 'tokens'), 'nexus budget t-1 --tokens N, or'],
  ['the fleet’s budget', spentOf('the fleet for today'), 'nexus budget today --usd N, then nexus retry t-1'],
  ['a subtask’s budget', spentOf('the subtask build of t-1'), 'NEXUS_BUDGET_SUBTASK_USD: npx nexus retry t-1'],
  ['an attempt’s budget', spentOf('attempt 1 at build'), 'nexus retry t-1 --subtask build (a new attempt'],
  ['a price', 'PRICE_UNKNOWN: Nobody here knows.', 'the file that NEXUS_PRICES names: npx nexus retry t-1'],
  ['an answer', 'AGENT_FAILED: It fell over.', 'nexus retry t-1 --subtask build [--note "…"], or npx nexus cancel t-1'],
])('what waits for %s is told with the command that helps', (_what, reason, way) => {
  const waiting = [{ subtask_id: 'build', since: at, until: at, reason }];
  const [, , said = ''] = waitingLines({ task_id: 't-1', waiting });
  expect(said.replaceAll('npx nexus', 'nexus')).toContain(way.replaceAll('npx nexus', 'nexus'));
  if (reason.includes('the task t-1')) expect(wayOn('t-1', 'build', reason)).not.toContain('retry');
});

const question = {
  ...{
    id: 'q1',
    subtask_id: 'build',
    attempt: 1,
    agent_id: 'builder',
    text: 'Which format?',
    asked_at: at,
    waits: false,
  },
  ...{ answer: null, answered_by: null, answered_at: null },
};

test('a question is told with the command that answers it, and after the end as unanswered without one', () => {
  const asked = { task_id: 't-1', questions: [question] };
  const lines = waitingLines({ ...asked, status: 'in_progress' });
  expect(lines[0]).toContain('builder asks in build (q1');
  expect(lines[2]).toContain('nexus answer t-1 --question q1');
  const over = waitingLines({ ...asked, status: 'completed' }).join('\n');
  expect(over).toMatch(/builder asked in build \(q1, .*\), unanswered to the end:\n {2}Which format\?$/);
});

test('a question is a line of the progress once, while the work goes on', () => {
  const before = { task_id: 't-1', status: 'in_progress', subtasks: [] } as unknown as TaskDetail;
  const after = { ...before, questions: [question] } as TaskDetail;
  const [line = '', ...more] = changeLines(before, after);
  expect(line).toMatch(/^build \(builder\) asks: Which format\? .*nexus answer t-1 --question q1 "…"$/);
  expect(more).toEqual([]);
  expect(changeLines(after, after)).toEqual([]);
  expect(changeLines(before, { ...after, status: 'cancelled' }).join()).not.toContain('asks');
});
