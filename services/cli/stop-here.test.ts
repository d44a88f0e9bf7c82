import { spawn } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, realpathSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { listMarked } from '@nexus/shared/process';
import { expect, onTestFinished, test } from 'vitest';
import { endHere, marksOf, workspaceOf } from './stop-here.ts';

test('a mark is ours by what its process says, else by where it works, else by its hash tag', () => {
  const processes = [
    { pid: 1, mark: '{nexus}.said-ours', home: '/homes/ours' },
    { pid: 2, mark: '{nexus}.said-theirs', home: '/homes/theirs' },
    { pid: 3, mark: 'c' },
    { pid: 4, mark: 'c' },
    { pid: 5, mark: '{nexus}.beside', home: null },
    { pid: 6, mark: '{nexus}.unseen' },
    { pid: 7, mark: '{other}.unseen' },
    { pid: 8, mark: '{nexus}.said-theirs-works-here', home: '/homes/theirs' },
  ];
  const folders: Record<number, string> = {
    1: '/',
    3: '/',
    4: '/homes/ours/x',
    5: '/homes/ours-too/x',
    8: '/homes/ours/x',
  };
  const fleet = { home: '/homes/ours/', prefix: '{nexus}' };
  expect(marksOf(fleet, processes, (pid) => folders[pid] ?? null)).toEqual([
    '{nexus}.said-ours',
    'c',
    '{nexus}.unseen',
  ]);
});

test('a workspace is the folder of one attempt, and nothing above it', () => {
  const folders = ['/h/workspaces/t/a-1-x/src', '/h/workspaces/t/a-1-x', '/h/workspaces/t', '/h/hubs/t/x', '/', null];
  expect(folders.map((folder) => workspaceOf('/h', folder))).toEqual([
    '/h/workspaces/t/a-1-x',
    '/h/workspaces/t/a-1-x',
    null,
    null,
    null,
    null,
  ]);
});

/** A zombie, which nobody may be there to reap, runs no longer. */
const runs = (pid: number): boolean => {
  const stat = existsSync(`/proc/${pid}/stat`) ? readFileSync(`/proc/${pid}/stat`, 'utf8') : '';
  return stat !== '' && !/\) [ZX] /.test(stat);
};

const scratchFolder = (): string => {
  const scratch = realpathSync(mkdtempSync(join(tmpdir(), 'nexus-here-')));
  onTestFinished(() => rmSync(scratch, { recursive: true, force: true }));
  return scratch;
};

test('of two fleets with the same hash tag on one machine, only the agents of this NEXUS_HOME end', async () => {
  const scratch = scratchFolder();
  const agent = (fleet: string) => {
    const home = join(scratch, fleet);
    mkdirSync(home);
    const mark = `{same-${process.pid}}.${fleet}`;
    const env = { ...process.env, NEXUS_MARK: mark, NEXUS_MARK_HOME: home };
    const child = spawn('sleep', ['60'], { stdio: 'ignore', env });
    onTestFinished(() => {
      child.kill('SIGKILL');
    });
    return { home, mark };
  };
  const [ours, theirs] = [agent('ours'), agent('theirs')];
  const marks = () => listMarked().map(({ mark }) => mark);
  await expect.poll(marks).toEqual(expect.arrayContaining([ours.mark, theirs.mark]));
  expect(await endHere({ home: ours.home, prefix: `{same-${process.pid}}` })).toEqual({
    ended: [ours.mark],
    survivors: [],
  });
  expect(marks()).not.toContain(ours.mark);
  expect(marks()).toContain(theirs.mark);
});

test.runIf(process.platform === 'linux')('what hid in the folder of an agent ends with it', async () => {
  const home = scratchFolder();
  const workspace = join(home, 'workspaces', 'shop-abc123', 'store-1-token');
  mkdirSync(workspace, { recursive: true });
  const mark = `{hidden-${process.pid}}.store`;
  const hide = `env -i setsid -f /bin/sh -c 'echo $$ > pid; exec /bin/sleep 61'; sleep 60`;
  const env = { ...process.env, NEXUS_MARK: mark, NEXUS_MARK_HOME: home };
  const agent = spawn('sh', ['-c', hide], { stdio: 'ignore', cwd: workspace, env });
  const pidOf = () => Number(readFileSync(join(workspace, 'pid'), 'utf8'));
  await expect.poll(() => existsSync(join(workspace, 'pid')) && pidOf()).toBeGreaterThan(0);
  const hidden = pidOf();
  onTestFinished(() => {
    agent.kill('SIGKILL');
    if (runs(hidden)) process.kill(hidden, 'SIGKILL');
  });
  expect(await endHere({ home, prefix: '{none}' })).toEqual({ ended: [mark], survivors: [] });
  await expect.poll(() => runs(hidden)).toBe(false);
});

test('processes that say nothing end where they work below this NEXUS_HOME; those of another live on', async () => {
  const scratch = scratchFolder();
  const agent = (fleet: string) => {
    const home = join(scratch, fleet);
    mkdirSync(home);
    const mark = `{${fleet}}.task.${process.pid}`;
    const child = spawn('sleep', ['60'], { stdio: 'ignore', cwd: home, env: { ...process.env, NEXUS_MARK: mark } });
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
