import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { catalogConfig, foldersOf, graphProblems, openCatalog } from '@nexus/shared/catalog';
import { loadConfig } from '@nexus/shared/config';
import { plannedSubtask, plan as planSchema, type TaskRequest } from '@nexus/shared/messages/domain';
import { describe, expect, test } from 'vitest';
import { plannerFor, planRequest } from './strategy.ts';

const catalog = await openCatalog();
const now = Date.parse('2030-01-01T12:00:00Z');
const planned = (more: Partial<TaskRequest>, warnings: string[] = []) => {
  const plan = planRequest(catalog, { request: 'Do something about the thing over there', ...more }, warnings, now);
  expect(planSchema.parse(plan)).toEqual(plan);
  expect(graphProblems(plan.subtasks)).toEqual([]);
  return plan;
};
const shape = (more: Partial<TaskRequest>) =>
  planned(more).subtasks.map((node) => `${node.id}:${node.kind}<${node.depends_on.join(',')}`);

describe('a workflow', () => {
  test('is planned as asked for, without its analyst', () => {
    expect(shape({ workflow: 'feature' })).toEqual([
      'plan:report<',
      'build:code<plan',
      'test:code<build',
      'review:report<test',
    ]);
  });

  test('is chosen by the words of the request where none is asked for', () => {
    expect(planned({ request: 'Fix the crash in the settings dialog' }).workflow).toBe('bug-fix');
    expect(planned({ request: 'Fix the crash in the settings dialog' }).approach).toContain('chosen by the words');
  });

  test('begins with its analyst where one is asked for', () => {
    expect(shape({ workflow: 'bug-fix', analyst: true })[0]).toBe('analyse:report<');
    expect(shape({ workflow: 'bug-fix', analyst: true })[1]).toBe('plan:report<analyse');
  });

  test('that has no analyst gets one in front where one is asked for', () => {
    expect(shape({ workflow: 'simple', analyst: true })).toEqual([
      'analyse:report<',
      'plan:report<analyse',
      'build:code<plan',
    ]);
    expect(shape({ workflow: 'simple', analyst: false })).toEqual(['plan:report<', 'build:code<plan']);
  });

  test('that is an analyst’s work keeps its one analyst', () => {
    expect(shape({ workflow: 'research' })).toEqual(['analyse:report<']);
    expect(shape({ workflow: 'research', analyst: true })).toEqual(['analyse:report<']);
  });

  test('whose analyst stands in the middle closes up where it is left out', () => {
    const node = (id: string, role: string, depends_on: string[]) =>
      plannedSubtask.parse({ id, title: id, role, goal: 'Go.', depends_on });
    const subtasks = [
      node('plan', 'planner', []),
      node('look', 'analyst', ['plan']),
      node('look-again', 'analyst', ['look']),
      node('build', 'builder', ['look-again', 'plan']),
    ];
    const middle = { ...catalog.workflow('feature'), name: 'middle', subtasks };
    const own = { ...catalog, workflow: () => middle };
    const plan = planRequest(own, { request: 'Go', workflow: 'middle' }, [], now);
    expect(plan.subtasks.map(({ id, depends_on }) => [id, depends_on])).toEqual([
      ['plan', []],
      ['build', ['plan']],
    ]);
  });

  test('is not changed by planning with it', () => {
    const before = JSON.stringify(catalog.workflow('feature').subtasks);
    planned({ workflow: 'feature' });
    planned({ workflow: 'feature', analyst: true });
    expect(JSON.stringify(catalog.workflow('feature').subtasks)).toBe(before);
  });
});

describe('roles in place of a workflow', () => {
  test('make a chain in their order, in which the builder stands for the plan', () => {
    const plan = planned({ roles: ['planner', 'tester', 'frontend', 'backend', 'documenter', 'reviewer'] });
    expect(plan.workflow).toBe('roles');
    const nodes = plan.subtasks.map(({ id, kind, grows, stands_for_plan }) => [id, kind, grows, stands_for_plan]);
    expect(nodes).toEqual([
      ['planner', 'report', true, false],
      ['tester', 'tests_first', false, false],
      ['frontend', 'code', false, true],
      ['backend', 'code', false, false],
      ['documenter', 'code', false, false],
      ['reviewer', 'report', false, false],
    ]);
    const needs = plan.subtasks.map((node) => node.depends_on);
    expect(needs).toEqual([[], ['planner'], ['tester'], ['frontend'], ['backend'], ['documenter']]);
  });

  test('may be the digital team by name', () => {
    const roles = ['aria_coordinator', 'code_developer', 'alpha_test_creator', 'beta_test_validator'];
    const nodes = planned({ roles }).subtasks.map(({ role, kind, grows }) => [role, kind, grows]);
    expect(nodes).toEqual([
      ['aria_coordinator', 'report', true],
      ['code_developer', 'code', false],
      ['alpha_test_creator', 'code', false],
      ['beta_test_validator', 'report', false],
    ]);
  });

  test('without a planner stand for nothing, and may repeat', () => {
    const plan = planned({ roles: ['builder', 'builder'] });
    expect(plan.subtasks.map((node) => node.id)).toEqual(['builder', 'builder-2']);
    expect(plan.subtasks.some((node) => node.stands_for_plan || node.grows)).toBe(false);
  });

  test('take an agent that may edit nothing as one that reports, and its own time box', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'nexus-agents-'));
    try {
      const front =
        'name: My_Auditor\ndescription: "Audits.\\nExamples: many"\ntools: Read, Bash\nlimits: {time_box_minutes: 7}';
      writeFileSync(join(folder, 'auditor.md'), `---\n${front}\n---\nYou audit.\n`);
      const own = await openCatalog(foldersOf(loadConfig(catalogConfig, { NEXUS_AGENTS_FOLDER: folder })));
      const [node] = planRequest(own, { request: 'Audit it', roles: ['my_auditor'] }, [], now).subtasks;
      expect(node).toMatchObject({ id: 'my-auditor', role: 'my_auditor', kind: 'report', time_box_minutes: 7 });
      expect(node?.goal).toMatch(/Your part, as My_Auditor: Audits\.$/);
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  });

  test('take a long time box with the level that its agent says', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'nexus-agents-'));
    try {
      const front = 'name: slow\ndescription: Works long.\nlimits: {time_box_minutes: 90, time_box_level: warning}';
      writeFileSync(join(folder, 'slow.md'), `---\n${front}\n---\nYou work.\n`);
      const own = await openCatalog(foldersOf(loadConfig(catalogConfig, { NEXUS_AGENTS_FOLDER: folder })));
      const [node] = planRequest(own, { request: 'Do it', roles: ['slow'] }, [], now).subtasks;
      expect(node).toMatchObject({ time_box_minutes: 90, time_box_level: 'warning' });
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  });

  test('get an analyst in front where one is asked for and none begins', () => {
    expect(shape({ roles: ['builder'], analyst: true })).toEqual(['analyse:report<', 'builder:code<analyse']);
    expect(shape({ roles: ['analyst', 'builder'], analyst: true })[0]).toBe('analyst:report<');
  });
});

test('a planner for what failed says what it was and why it failed, whatever their length', () => {
  const failed = { subtask_id: `x${'-y'.repeat(23)}`, title: 'Build it', goal: 'g'.repeat(8000), reason: 'Red.' };
  const planner = plannerFor(catalog, failed);
  expect(planner).toMatchObject({ role: 'planner', kind: 'report', grows: true, title: 'Plan anew: Build it' });
  expect(planner?.goal).toMatch(/"Build it" failed in every attempt[\s\S]*Why it failed: Red\./);
  expect(plannerFor({ ...catalog, agents: new Map() }, failed)).toBeNull();
});

test('the mode asked for is passed on, parallel otherwise', () => {
  expect(planned({}).mode).toBe('parallel');
  expect(planned({ mode: 'sequential' }).mode).toBe('sequential');
});

test('nothing is invented: no probability, no price, and only risks that are there', () => {
  const plan = planned({ checks: [{ name: 'unit', command: 'npm test' }] });
  expect(plan).toMatchObject({ probability: null, price_usd: null, risks: [] });
  const risky = planned({ deadline: '2030-01-01T12:20:00Z' }, ['The repository has uncommitted changes.']);
  expect(risky.risks).toEqual([
    'The repository has uncommitted changes.',
    expect.stringContaining('names no checks'),
    'The deadline leaves 20 minutes.',
  ]);
});

test.each([
  [{ workflow: 'magic' }, 'WORKFLOW_UNKNOWN'],
  [{ roles: ['wizard'] }, 'ROLE_UNKNOWN'],
  [{ roles: ['builder'], workflow: 'simple' }, 'REQUEST_INVALID'],
])('%j cannot be planned', (more, code) => {
  expect(() => planned(more)).toThrow(expect.objectContaining({ code }));
});
