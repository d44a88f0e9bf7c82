import { historyField } from '@nexus/shared/ledger';
import { plannedSubtask } from '@nexus/shared/messages/domain';
import { describe, expect, test } from 'vitest';
import { outlookOf } from './outlook.ts';

const step = (id: string, role = 'builder', more: object = {}) =>
  plannedSubtask.parse({ id, title: id, role, goal: 'Do it.', ...more });
const chain = (count: number) => Array.from({ length: count }, (_, at) => step(`step-${at}`));
const historyOf = (ok: number, failed: number, role = 'builder', kind: 'code' | 'report' = 'code') =>
  new Map([
    [historyField('role', role, kind, 'ok'), ok],
    [historyField('role', role, kind, 'failed'), failed],
  ]);
const usual = { retries: 3, otherAgents: 1 };
const once = { retries: 0, otherAgents: 0 };

describe('the probability of a plan', () => {
  test('is that of its one step, by nine good attempts and a bad one before there are any', () => {
    expect(outlookOf({ subtasks: [step('one')] }, new Map(), once)).toMatchObject({
      probability: 0.9,
      assumed: true,
      attempts: 1,
      steps: [{ id: 'one', role: 'builder', probability: 0.9, n: 0, assumed: true }],
    });
  });

  test('falls with each step, since all have to go well', () => {
    const { probability } = outlookOf({ subtasks: chain(4) }, new Map(), once);
    expect(probability).toBeCloseTo(0.9 ** 4, 3);
  });

  test('takes retries for the same uncertain ability, not for a fresh start each', () => {
    // Beta(9, 1): both fail with 1/10 · 2/11, which is more than 1/10 · 1/10.
    const { probability } = outlookOf({ subtasks: [step('one')] }, new Map(), { retries: 1, otherAgents: 0 });
    expect(probability).toBeCloseTo(1 - (1 / 10) * (2 / 11), 4);
  });

  test('goes by what the role has done at this kind of work, and is no assumption from five attempts on', () => {
    const of = (ok: number, failed: number) => outlookOf({ subtasks: [step('one')] }, historyOf(ok, failed), once);
    expect(of(0, 4)).toMatchObject({ probability: 0.6429, assumed: true });
    expect(of(0, 5)).toMatchObject({ probability: 0.6, assumed: false });
    expect(of(90, 0)).toMatchObject({ probability: 0.99, assumed: false, steps: [{ n: 90, ok: 90 }] });
    const other = outlookOf({ subtasks: [step('one')] }, historyOf(0, 50, 'builder', 'report'), once);
    expect(other.probability).toBe(0.9);
  });

  test('tells how many attempts it takes on average', () => {
    const { attempts } = outlookOf({ subtasks: chain(2) }, historyOf(41, 49), { retries: 1, otherAgents: 0 });
    expect(attempts).toBeCloseTo(2 * 1.5, 1);
  });
});

describe('what would raise it', () => {
  test('is not told of a plan that is good enough', () => {
    expect(outlookOf({ subtasks: chain(20) }, new Map(), usual)).toMatchObject({ raise: [] });
  });

  test('is told below 70 %, with what it would come to', () => {
    const bad = outlookOf({ subtasks: [step('sure', 'analyst'), step('unsure')] }, historyOf(2, 18), once);
    expect(bad.probability).toBeLessThan(0.4);
    expect(bad.steps[0]).toMatchObject({ id: 'unsure', assumed: false });
    expect(bad.raise[0]).toMatch(/^NEXUS_RETRIES=1, which is 1 more: \d+ %$/);
    expect(bad.raise.at(-2)).toContain('the step unsure (builder, 2 of 20 attempts went well)');
    const raised = outlookOf({ subtasks: [step('sure', 'analyst'), step('unsure')] }, historyOf(2, 18), {
      retries: 1,
      otherAgents: 0,
    });
    expect(bad.raise[0]).toContain(`${Math.round(raised.probability * 100)} %`);
  });

  test('stays short, however many steps there are', () => {
    const { steps, raise } = outlookOf({ subtasks: chain(200) }, historyOf(1, 30), usual);
    expect(steps).toHaveLength(40);
    expect(raise.length).toBeLessThanOrEqual(6);
  });
});

test('a plan whose planner adds steps says that they are not counted', () => {
  expect(
    outlookOf({ subtasks: [step('plan', 'planner', { kind: 'report', grows: true })] }, new Map(), usual).grows,
  ).toBe(true);
});
