import { spawn } from 'node:child_process';
import { listMarked } from '@nexus/shared/process';
import { expect, onTestFinished, test } from 'vitest';
import { endOrphans, markOf, marksOf } from './orphans.ts';

const prefix = `{orphans-${process.pid}}`;
const home = `/homes/ours-${process.pid}`;
const ids = { task_id: 'a-task', subtask_id: 'storage', attempt: 2 };
const token = 'worker-agent-host.example-1a2b3c4d.1700000000000-0.3';

const agent = (mark: string, markHome: string) => {
  const env = { PATH: process.env.PATH, NEXUS_MARK: mark, NEXUS_MARK_HOME: markHome };
  const child = spawn('sleep', ['60'], { stdio: 'ignore', env, detached: true });
  onTestFinished(() => void child.kill('SIGKILL'));
  return child.pid;
};
const alive = (pids: (number | undefined)[]) => {
  const marked = new Set(listMarked().map(({ pid }) => pid));
  return pids.map((pid) => pid !== undefined && marked.has(pid));
};

test('agents whose claim is lost are ended; what is claimed, or of another home or fabric, lives on', async () => {
  const lost = agent(markOf(prefix, ids, token), home);
  const held = agent(markOf(prefix, ids, token.replace(/3$/, '4')), home);
  const others = [
    agent(markOf(prefix, ids, token), `${home}-2`),
    agent(markOf(`${prefix}x`, ids, token), home),
    agent(`${prefix}.quality-checker-host-1a2b.1700000000000-0.3`, home),
    agent(markOf(prefix, ids, token), ''),
  ];
  await expect.poll(() => alive([lost, held, ...others])).toEqual(Array(6).fill(true));
  const mayRun = async (asked: string) => asked.endsWith('.4');
  const { ended, survivors } = await endOrphans({ home, prefix, mayRun, graceMs: 100 });
  expect(ended).toEqual([markOf(prefix, ids, token)]);
  expect(survivors).toEqual([]);
  expect(alive([lost, held, ...others])).toEqual([false, true, true, true, true, true]);
});

test('a mark gives its token back, dots in the name of the host included', () => {
  const mark = markOf(prefix, ids, token);
  expect([...marksOf({ home, prefix }, [{ pid: 1, mark, home }])]).toEqual([[mark, token]]);
  expect([...marksOf({ home, prefix }, [{ pid: 1, mark, home: null }])]).toEqual([]);
});
