import type { TaskDetail } from '@nexus/shared/client';
import { expect, test } from 'vitest';
import { endLines, ways } from './end-state.ts';
import { painter } from './output.ts';

const result = {
  repository: '/var/lib/nexus/results/say-hello-x1',
  look: 'git -C /var/lib/nexus/results/say-hello-x1 log --stat a..nexus/say-hello-x1',
  start: null,
  undo: 'git -C /var/lib/nexus/results/say-hello-x1 branch -D nexus/say-hello-x1',
};

test('what a result is looked at with is typed as it is where the fleet runs', () => {
  expect(ways(result, false)).toEqual([
    ['look', result.look],
    ['start', null],
    ['undo', result.undo],
    ['copy', null],
  ]);
});

test('a result within a container is looked at, undone and copied from beside it', () => {
  expect(ways(result, true)).toEqual([
    ['look', `docker compose exec finalizer sh -c '${result.look}'`],
    ['start', null],
    ['undo', `docker compose exec finalizer sh -c '${result.undo}'`],
    ['copy', 'docker compose cp finalizer:/var/lib/nexus/results/say-hello-x1 .'],
  ]);
  const pushed = { ...result, repository: 'https://example.com/shop.git', look: 'git fetch', undo: null };
  expect(ways(pushed, true)).toEqual(ways(pushed, false));
});

test('what had been pushed before the task was cancelled is told as such', () => {
  const checks = { passed: 1, failed: 0, skipped: 0, broken: 0 };
  const task = { task_id: 'a', title: 'A', status: 'cancelled', subtasks: [], created_at: '', ended_at: '' };
  const shown = { ...task, reason: 'no', result: { ...result, checks, proven: true }, kept: null, report_url: null };
  const lines = endLines(shown as unknown as TaskDetail, painter(false)).join('\n');
  expect(lines).toContain('It had been pushed before the task ended');
  expect(lines).toContain(`undo     ${result.undo}`);
});

test('one of a thing is told as one', () => {
  const checks = { passed: 1, failed: 0, skipped: 0, broken: 0 };
  const work = (subtasks: unknown[], attempts: number) => {
    const ended = {
      task_id: 'a',
      title: 'A',
      status: 'completed',
      warnings: [],
      result: { ...result, checks, proven: true },
    };
    const task = { ...ended, subtasks, attempts, sent_back: 0, cost: {}, created_at: '', ended_at: '' };
    return endLines(task as unknown as TaskDetail, painter(false)).join('\n');
  };
  expect(work([{}], 1)).toContain('work     1 subtask, 1 attempt, 0 sent back');
  expect(work([{}, {}], 3)).toContain('work     2 subtasks, 3 attempts, 0 sent back');
});
