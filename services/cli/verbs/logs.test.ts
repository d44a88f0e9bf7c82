import { expect, test } from 'vitest';
import { logLines } from './logs.ts';

const plain = (_style: unknown, text: string) => text;
const under = 'refs/nexus/add-export-abcdef/evidence';

const headings = (...evidence: { ref: string; path: string }[]) => {
  const of = { subtask_id: 'store', title: 'Store it', agent_id: 'backend', text: 'x', truncated: false, says: '' };
  const logs = evidence.map((one) => ({ ...of, evidence: one }));
  return logLines({ task_id: 'add-export-abcdef', logs }, plain).filter((line) => line.startsWith('—'));
};

test('a log is headed by its attempt, and by whether the gate wrote it', () => {
  expect(
    headings(
      { ref: `${under}/store-1`, path: 'output.log' },
      { ref: `${under}/gate-store-12`, path: 'quality-checker-vm-84.1-0.1/tests.log' },
      { ref: 'refs/nexus/other', path: 'output.log' },
    ),
  ).toEqual([
    '— store: Store it (backend), attempt 1: output.log',
    '— store: Store it (backend), gate of attempt 12: tests.log',
    '— store: Store it (backend), output.log',
  ]);
});
