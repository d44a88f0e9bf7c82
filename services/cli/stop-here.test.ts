import { spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, realpathSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { listMarked } from '@nexus/shared/process';
import { expect, onTestFinished, test } from 'vitest';
import { endHere, marksOf } from './stop-here.ts';

test('a mark is ours by its hash tag, or by where a process that bears it works', () => {
  const processes = [
    { pid: 1, mark: '{ours}.a' },
    { pid: 2, mark: '{other}.b' },
    { pid: 3, mark: 'c' },
    { pid: 4, mark: 'c' },
    { pid: 5, mark: 'd' },
  ];
  const folders: Record<number, string> = { 2: '/homes/other/x', 3: '/', 4: '/homes/ours/x', 5: '/homes/ours-too/x' };
  const fleet = { home: '/homes/ours', prefix: '{ours}' };
  expect(marksOf(fleet, processes, (pid) => folders[pid] ?? null)).toEqual(['{ours}.a', 'c']);
});

test('the processes of this fleet end, those of another on the same machine live on', async () => {
  const scratch = realpathSync(mkdtempSync(join(tmpdir(), 'nexus-here-')));
  onTestFinished(() => rmSync(scratch, { recursive: true, force: true }));
  const agent = (fleet: string) => {
    const home = join(scratch, fleet);
    mkdirSync(home);
    const mark = `{${fleet}}.task.${process.pid}`;
    const child = spawn('sleep', ['60'], { stdio: 'ignore', env: { ...process.env, NEXUS_MARK: mark } });
    onTestFinished(() => {
      child.kill('SIGKILL');
    });
    return { home, mark, child };
  };
  const [ours, theirs] = [agent('ours'), agent('theirs')];
  const marks = () => listMarked().map(({ mark }) => mark);
  await expect.poll(marks).toEqual(expect.arrayContaining([ours.mark, theirs.mark]));
  expect(await endHere({ home: ours.home, prefix: '{ours}' })).toEqual({ ended: [ours.mark], survivors: [] });
  expect(marks()).not.toContain(ours.mark);
  expect(marks()).toContain(theirs.mark);
});
