import type { SubtaskShort, TaskDetail } from '@nexus/shared/client';
import { expect, test } from 'vitest';
import { painter, widthOf } from './output.ts';
import { changeLines, inOrder, progressLines } from './progress.ts';

const at = (seconds: number) => new Date(Date.UTC(2027, 0, 1) + seconds * 1000).toISOString();
const now = Date.parse(at(10));

const subtask = (id: string, more: Partial<SubtaskShort> = {}): SubtaskShort => ({
  id,
  title: `The ${id}`,
  role: 'backend',
  agent_id: 'backend',
  kind: 'code',
  state: 'blocked',
  depends_on: [],
  attempt: 0,
  failures: 0,
  sent_back: 0,
  instance_id: null,
  began_at: null,
  ended_at: null,
  commit: null,
  merged_commit: null,
  reason: null,
  summary: null,
  doing: null,
  checks: { passed: 0, failed: 0, skipped: 0, broken: 0 },
  verdict: null,
  resume_at: null,
  worker_gone: false,
  ...more,
});

const task = (subtasks: SubtaskShort[], more: Partial<TaskDetail> = {}): TaskDetail =>
  ({
    task_id: 'shop-abc123',
    title: 'A shop',
    status: 'in_progress',
    progress_percentage: 50,
    created_at: at(0),
    ended_at: null,
    sent_back: 0,
    subtasks,
    ...more,
  }) as TaskDetail;

const frame = { columns: 100, rows: 24, paint: painter(false) };
const picture = (of: TaskDetail, notes: [string, string][] = [], more: Partial<typeof frame> = {}) =>
  progressLines({ task: of, notes: new Map(notes), now }, { ...frame, ...more });

test('a picture has a header with progress, and a line for each subtask: agent, state, time, what it does', () => {
  const lines = picture(
    task([
      subtask('store', { state: 'merged', attempt: 1, began_at: at(1), ended_at: at(3), summary: 'Links in a file.' }),
      subtask('page', { agent_id: 'frontend', state: 'working', attempt: 2, began_at: at(6.5), depends_on: ['store'] }),
      subtask('api', { depends_on: ['store', 'page'] }),
    ]),
    [['page', '$ npm test']],
  );
  expect(lines).toEqual([
    'shop-abc123  in progress  ████████░░░░░░░░  50 %  1 of 3 done · 10 s',
    '  ✓ store  backend   merged        2.0 s  Links in a file.',
    '  ● page   frontend  working (2)   3.5 s  $ npm test',
    '  · api    backend   blocked              after page',
  ]);
});

test('what an event told wins over what the task holds, and nothing of it can redraw the terminal', () => {
  const one = task([subtask('page', { state: 'working', attempt: 1, began_at: at(9), doing: 'from the beat' })]);
  expect(picture(one).at(-1)).toContain('from the beat');
  expect(picture(one, [['page', '\u001b[2J\u001b[31mred\u0007\r\nalert']]).at(-1)).toMatch(/ {2}red alert$/);
});

test('a picture is never wider or higher than the terminal, and shows what goes on before what waits', () => {
  const many = task([
    ...Array.from({ length: 30 }, (_, index) => subtask(`waiting-${index}`, { title: 'x'.repeat(200) })),
    subtask('busy', { state: 'working', attempt: 1, began_at: at(2), doing: 'y'.repeat(300) }),
    subtask('done', { state: 'merged', attempt: 1 }),
  ]);
  for (const columns of [20, 40, 79, 200]) {
    const lines = picture(many, [], { columns, rows: 10 });
    expect(Math.max(...lines.map(widthOf))).toBeLessThanOrEqual(columns);
    expect(lines.length).toBeLessThan(10);
  }
  const lines = picture(many, [], { rows: 10 });
  expect(lines.some((line) => line.includes('● busy'))).toBe(true);
  expect(lines.at(-1)).toBe('  … and 26 blocked');
});

test('colours take no columns', () => {
  const one = task([subtask('page', { state: 'working', attempt: 1, began_at: at(9), doing: 'z'.repeat(300) })]);
  const plain = picture(one);
  const coloured = picture(one, [], { paint: painter(true) });
  expect(coloured).not.toEqual(plain);
  expect(coloured.map(widthOf)).toEqual(plain.map(widthOf));
});

test('what comes first in the graph stands first, and a cycle does no harm', () => {
  const order = (subtasks: SubtaskShort[]) => inOrder(subtasks).map(({ id }) => id);
  expect(
    order([subtask('c', { depends_on: ['b'] }), subtask('b', { depends_on: ['a'] }), subtask('a'), subtask('z')]),
  ).toEqual(['a', 'z', 'b', 'c']);
  expect(order([subtask('a', { depends_on: ['b'] }), subtask('b', { depends_on: ['a'] })])).toHaveLength(2);
});

test('the first look tells the status and the plan; later ones tell only what changed', () => {
  const before = task([subtask('store'), subtask('page')]);
  expect(changeLines(null, before)).toEqual(['shop-abc123: in progress', 'planned: store, page']);
  expect(changeLines(before, before)).toEqual([]);
  const after = task([subtask('store', { state: 'working', attempt: 1 }), subtask('page'), subtask('docs')]);
  expect(changeLines(before, after)).toEqual(['planned: docs', 'store (backend): working']);
});

test('sent back, crashed and merged are told with their reason', () => {
  const before = task([
    subtask('a', { state: 'checking', attempt: 1 }),
    subtask('b', { state: 'working', attempt: 1 }),
  ]);
  const after = task([
    subtask('a', { state: 'ready', attempt: 1, sent_back: 1, reason: 'npm test failed' }),
    subtask('b', { state: 'working', attempt: 2, failures: 1, reason: 'killed by SIGKILL' }),
  ]);
  expect(changeLines(before, after)).toEqual([
    'a (backend): sent back: npm test failed',
    'b (backend): failed, tried again: killed by SIGKILL',
    'b (backend): working (2)',
  ]);
  const end = task([subtask('a', { state: 'merged', attempt: 2, sent_back: 1, summary: 'All green.' }), subtask('b')]);
  expect(changeLines(after, end)).toContain('a (backend): merged (2): All green.');
});

test.each([
  { held: ['fleet'] as const, says: 'the fleet is stopped: nexus resume --all' },
  { held: ['task'] as const, says: 'held by itself: nexus resume --task shop-abc123' },
  {
    held: ['fleet', 'task'] as const,
    says: 'the fleet is stopped: nexus resume --all, then nexus resume --task shop-abc123',
  },
])('while $held is stopped nothing is said to be done right now, but what lets it go on', ({ held, says }) => {
  const stopped = task([subtask('a', { state: 'working', began_at: at(2) })], { status: 'stopped', held: [...held] });
  const lines = picture(stopped, [['a', 'writes']], { columns: 120 });
  expect(lines.join('\n')).not.toContain('writes');
  expect(lines.at(-1)).toBe(`  ‖ a  backend  stopped          ${says}`);
  expect(changeLines(null, stopped)[0]).toBe(`shop-abc123: stopped (${says})`);
});

test('while its agent or service is held nothing of a subtask is said to be done, but what lets it go on', () => {
  const held = [{ part: 'agent:builder', is: 'stopped' }];
  const working = subtask('a', { state: 'working', attempt: 1, began_at: at(2) });
  const stopped = task([
    { ...working, held },
    subtask('b', { state: 'ready', held: [{ part: 'fleet', is: 'paused' }] }),
  ]);
  const says = 'agent:builder is stopped: nexus resume --agent builder';
  const [, first, second] = picture(stopped, [['a', 'writes']], { columns: 120 });
  expect(first).toBe(`  ‖ a  backend  stopped          ${says}`);
  expect(second).toBe('  ○ b  backend  ready            the fleet is paused: nexus resume --all');
  expect(changeLines(task([working]), stopped)).toContain(`a (backend): stopped: ${says}`);
});

test('a subtask that is held is told as stopped, and as working again when it goes on', () => {
  const running = task([subtask('a', { state: 'working', attempt: 1 })]);
  const held = task([subtask('a', { state: 'working', attempt: 1 })], { status: 'stopped' });
  expect(changeLines(running, held)).toEqual(['shop-abc123: stopped', 'a (backend): stopped']);
  expect(changeLines(held, held)).toEqual([]);
  expect(changeLines(held, running)).toEqual(['shop-abc123: in progress', 'a (backend): working']);
});

test('columns stay apart however long something takes', () => {
  const long = task([
    subtask('a', { state: 'working', attempt: 1, began_at: at(-17 * 60 - 3) }),
    subtask('b', { state: 'merged', attempt: 1, began_at: at(0), ended_at: at(2) }),
  ]);
  expect(picture(long).slice(1)).toEqual([
    '  ● a  backend  working  17 min 13 s  The a',
    '  ✓ b  backend  merged         2.0 s  The b',
  ]);
});

test('a task that fails at once is told in order: what was planned, what failed, how it ended', () => {
  const end = task([subtask('a', { state: 'failed', reason: 'No.' })], { status: 'failed' });
  expect(changeLines(null, end)).toEqual(['planned: a', 'a (backend): failed: No.', 'shop-abc123: failed']);
});

test('what was sent back for the last time is told once', () => {
  const before = task([subtask('a', { state: 'checking', attempt: 4, sent_back: 3 })]);
  const after = task([subtask('a', { state: 'failed', attempt: 4, sent_back: 4, reason: 'Again red.' })]);
  expect(changeLines(before, after)).toEqual(['a (backend): failed (4): Again red.']);
});

test('what was merged without a check that could have failed has no plain tick', () => {
  const merged = { state: 'merged', attempt: 1 } as const;
  const lines = picture(
    task([subtask('a', { ...merged, verdict: 'unproven' }), subtask('b', { ...merged, verdict: 'passed' })]),
  );
  expect(lines[1]).toMatch(/^ {2}~ a {2}backend {2}merged, unproven/);
  expect(lines[2]).toMatch(/^ {2}✓ b {2}backend {2}merged {2}/);
  const changes = changeLines(task([subtask('a')]), task([subtask('a', { ...merged, verdict: 'unproven' })]));
  expect(changes).toEqual(['a (backend): merged, unproven']);
});

test('the death of a worker, and where its work goes on, are a line each', () => {
  const at = (instance_id: string, worker_gone = false) =>
    task([subtask('a', { state: 'working', attempt: 1, instance_id, worker_gone })]);
  expect(changeLines(at('w1'), at('w1'))).toEqual([]);
  expect(changeLines(at('w1'), at('w1', true))).toEqual([
    'a (backend): its worker w1 is gone; another one takes it over',
  ]);
  expect(changeLines(at('w1', true), at('w1', true))).toEqual([]);
  expect(changeLines(at('w1', true), at('w2'))).toEqual(['a (backend): goes on at w2']);
  expect(changeLines(at('w1'), at('w2'))).toEqual(['a (backend): goes on at w2']);
  expect(picture(at('w1', true))[1]).toContain('its worker is gone');
});

test('what is parked says until when, and what waits for a person which command answers it', () => {
  const parked = subtask('a', { state: 'parked', attempt: 1, resume_at: at(65), reason: 'It failed.' });
  const waits = subtask('b', { state: 'waiting_for_person', attempt: 4, reason: 'Which column?' });
  const lines = picture(task([parked, waits]), [], { columns: 120 });
  expect(lines[1]).toContain('until 00:01:05 UTC: It failed.');
  const [, bare] = picture(task([{ ...parked, reason: null }]), [], { columns: 120 });
  expect(bare?.trimEnd()).toMatch(/until 00:01:05 UTC$/);
  expect(lines[2]).toContain('nexus retry shop-abc123 --subtask b: Which column?');
  expect(changeLines(task([subtask('b')]), task([{ ...waits, failures: 4 }]))).toEqual([
    'b (backend): waiting for person (4): Which column?',
    '  nexus retry shop-abc123 --subtask b [--note "…"], or nexus cancel shop-abc123',
  ]);
  const reason = 'BUDGET_SPENT: The budget of the task shop-abc123 is spent: 1 of 1 USD are used or reserved.';
  const broke = { ...task([waits]), waiting: [{ subtask_id: 'b', since: at(0), until: at(9), reason }] };
  expect(changeLines(task([subtask('b')]), broke).at(-1)).toBe(
    '  nexus budget shop-abc123 --usd N, or nexus cancel shop-abc123',
  );
  expect(picture(broke, [], { columns: 120 })[1]).toContain('nexus budget shop-abc123 --usd N');
  expect(changeLines(task([subtask('a')]), task([{ ...parked, failures: 1 }]))).toEqual([
    'a (backend): failed, tried again: It failed.',
    'a (backend): parked until 00:01:05 UTC',
  ]);
});

test('what was put aside is told with its reason, and no clock runs for it', () => {
  const before = task([subtask('a', { state: 'working', attempt: 1, began_at: at(2) })]);
  const reason = 'BUDGET_SPENT: The budget of today is spent.';
  const aside = task([subtask('a', { state: 'parked', attempt: 1, began_at: at(2), resume_at: at(65), reason })]);
  expect(picture(aside, [], { columns: 120 })[1]).toBe(`  ‖ a  backend  parked          until 00:01:05 UTC: ${reason}`);
  expect(changeLines(before, aside)).toEqual([`a (backend): parked until 00:01:05 UTC: ${reason}`]);
  expect(changeLines(aside, before)).toEqual(['a (backend): working']);
});

test('a plan that goes back is told with its reason, in the log and in the picture', () => {
  const reason = 'Your .nexus/plan.json cannot be used: it names no subtask.';
  const before = task([subtask('plan', { state: 'working', attempt: 1 })]);
  const again = subtask('plan', { state: 'working', attempt: 2, plan_rejections: 1, began_at: at(6), reason });
  expect(changeLines(before, task([again]))).toEqual([
    `plan (backend): its plan goes back: ${reason}`,
    'plan (backend): working (2)',
  ]);
  expect(picture(task([{ ...again, title: 'Plan it' }]))[1]).toContain('Your .nexus/plan.json cannot be used');
});
