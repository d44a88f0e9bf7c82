import { expect, test } from 'vitest';
import { readWorkflow } from './workflow-file.ts';

const file = '/somewhere/flow.yaml';
const roles = ['analyst', 'planner', 'builder', 'reviewer'];
const read = (text: string) => readWorkflow(file, text, (role) => roles.includes(role));
const refusal = (text: string): string => {
  try {
    read(text);
  } catch (error) {
    expect(error).toMatchObject({ code: 'DEFINITION_INVALID', details: { file } });
    return (error as Error).message;
  }
  throw new Error('it was not refused');
};

const flow = (more: string, top = '') => `name: flow
description: A flow.
${top}
subtasks:
  - id: first
    title: First
    role: planner
    goal: Begin.
    grows: true
${more}`;
const node = (id: string, more: string) =>
  `  - id: ${id}\n    title: T\n    goal: G.\n${more.replaceAll(/^/gm, '    ')}\n`;

test('a workflow is read with the defaults of its subtasks', () => {
  const workflow = read(flow(node('second', 'role: builder\ndepends_on: [first]\nstands_for_plan: true')));
  expect(workflow).toMatchObject({ name: 'flow', analyst: 'never', chooses: [], file });
  expect(workflow.subtasks[1]).toMatchObject({ kind: 'code', time_box_minutes: 30, acceptance: [], grows: false });
});

test.each([
  [30, ''],
  [60, ''],
  [60, '\ntime_box_level: caution'],
  [61, '\ntime_box_level: warning'],
  [120, '\ntime_box_level: warning'],
])('a time box of %d minutes is taken%s', (minutes, level) => {
  const workflow = read(flow(node('b', `role: builder\ntime_box_minutes: ${minutes}${level}`)));
  expect(workflow.subtasks[1]?.time_box_minutes).toBe(minutes);
});

test.each([
  [
    'a cycle',
    node('b', 'role: builder\ndepends_on: [c]') + node('c', 'role: builder\ndepends_on: [b]'),
    /line 14: .*cycle: b → c → b/,
  ],
  ['itself as a dependency', node('b', 'role: builder\ndepends_on: [b]'), /line 14: .*cycle: b → b/],
  [
    'an unknown id',
    node('b', 'role: builder\ndepends_on:\n  - first\n  - frist'),
    /line 16: "b" depends on "frist".*first, b/,
  ],
  ['an id twice', node('first', 'role: builder'), /line 10: the id "first" occurs twice/],
  ['an unknown role', node('b', 'role: wizard'), /line 13: no agent has the role or id "wizard"/],
  ['an unknown key', node('b', 'role: builder\nrolle: x'), /line 10: subtasks\.1: .*rolle/],
  ['a missing key', node('b', 'kind: code'), /line 10: subtasks\.1\.role: /],
  ['an unknown kind', node('b', 'role: builder\nkind: poem'), /line 14: subtasks\.1\.kind: /],
  [
    'a time box beyond two hours',
    node('b', 'role: builder\ntime_box_minutes: 121\ntime_box_level: warning'),
    /line 14: subtasks\.1\.time_box_minutes: is over 120 minutes; cut the subtask smaller/,
  ],
  [
    'a time box over an hour that does not say so',
    node('b', 'role: builder\ntime_box_minutes: 61'),
    /line 14: "b": a time box of 61 minutes needs time_box_level: "warning"; without it at most 60/,
  ],
  [
    'a level that is not that of its time box',
    node('b', 'role: builder\ntime_box_minutes: 45\ntime_box_level: safe'),
    /line 14: "b": time_box_level is "safe", but 45 minutes are "caution"/,
  ],
])('%s is refused with file and line', (_, more, says) => {
  expect(refusal(flow(more))).toMatch(says);
});

test('text that is no YAML is refused with its line', () => {
  expect(refusal('name: flow\ndescription: [open\nsubtasks: 3')).toMatch(/line \d+: /);
  expect(refusal('')).toMatch(/line 1: the file: /);
});

test('what it says of its analyst must be true of its subtasks', () => {
  const analyst = node('look', 'role: analyst');
  expect(refusal(flow('', 'analyst: always'))).toMatch(/line 3: analyst is "always", but no subtask/);
  expect(refusal(flow(analyst))).toMatch(/analyst is "never", but a subtask/);
  const alone = 'name: a\ndescription: b\nanalyst: where_asked\nsubtasks:\n';
  expect(refusal(alone + analyst)).toMatch(/line 3: .*nothing would be left/);
});

test('a subtask cannot stand for a plan that nobody makes', () => {
  const alone = 'name: a\ndescription: b\nsubtasks:\n';
  expect(refusal(alone + node('b', 'role: builder\nstands_for_plan: true'))).toMatch(/line 8: "b" stands for a plan/);
});
