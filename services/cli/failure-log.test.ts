import type { Check } from '@nexus/shared/messages/domain';
import { expect, test } from 'vitest';
import { tellingLines, tellingLog } from './failure-log.ts';

const lines = (count: number, at?: number) =>
  Array.from({ length: count }, (_, index) => (index === at ? 'not ok 1 - adds' : `line ${index}`));

test('the end of a log is shown, and what went wrong even where it stands further up', () => {
  expect(tellingLines(lines(5))).toHaveLength(5);
  expect(tellingLines(lines(100))).toEqual(lines(100).slice(-20));
  expect(tellingLines(lines(100, 95))).toEqual(lines(100, 95).slice(-20));
  expect(tellingLines(lines(100, 70))).toEqual(lines(100, 70).slice(70));
  const both = tellingLines(lines(100, 10));
  expect([both[0], both[20], both.at(-1)]).toEqual(['not ok 1 - adds', '…', 'line 99']);
});

test('the last words are those of the check that failed, else the agent’s, else those of set-up', () => {
  const log = (name: string, path: string) => {
    const of = { subtask_id: 's', title: 's', agent_id: 'a', text: 'x', truncated: false, says: '' };
    return { ...of, evidence: { ref: `refs/${name}`, path } };
  };
  const attempt = [log('s-1', 'output.log'), log('s-1', 'setup.log'), log('s-1', 'report.md')];
  const gate = [log('gate-s-1', 'c/tests.log'), log('gate-s-1', 'c/types.log')];
  const check = (path: string, more: object) => ({ log: { ref: 'refs/gate-s-1', path }, ...more }) as Check;
  const red = { state: 'failed', failing_before: false };
  const checks = [check('c/tests.log', red), check('c/types.log', { state: 'passed', failing_before: false })];
  expect(tellingLog([...attempt, ...gate], checks)?.evidence.path).toBe('c/tests.log');
  expect(tellingLog([...gate, log('s-2', 'output.log'), log('s-2', 'setup.log')], checks)?.evidence.path).toBe(
    'output.log',
  );
  const before = check('c/types.log', { state: 'broken', failing_before: true });
  const passed = check('c/tests.log', { state: 'passed', failing_before: false });
  const types = [...gate].reverse();
  expect(tellingLog([...attempt, ...types], [passed, before])?.evidence.path).toBe('c/types.log');
  expect(tellingLog([...attempt, ...gate], [check('c/tests.log', red), before])?.evidence.path).toBe('c/tests.log');
  expect(tellingLog([...attempt, log('s-2', 'setup.log')], [])?.evidence.ref).toBe('refs/s-2');
  expect(tellingLog([], [])).toBeUndefined();
});
