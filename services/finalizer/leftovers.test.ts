import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, rm, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { removeLeftovers, sweepHalfMade } from './leftovers.ts';

let home = '';
beforeEach(async () => {
  home = await mkdtemp(join(tmpdir(), 'nexus-leftovers-'));
});
afterEach(() => rm(home, { recursive: true, force: true }));

const gate = async (token: string, task: string | null): Promise<string> => {
  const folder = join(home, 'gates', token);
  await mkdir(join(folder, 'candidate'), { recursive: true });
  if (task !== null) await writeFile(join(folder, 'task'), task);
  return folder;
};

test('a deleted task leaves no clones in this home, and those of every other task stay', async () => {
  const clone = (task: string) => join(home, 'workspaces', task, 'build-1-token');
  for (const task of ['mine', 'mine-too']) await mkdir(clone(task), { recursive: true });
  const mine = await gate('t1', 'mine');
  const others = [await gate('t2', 'mine-too'), await gate('t3', null)];
  await removeLeftovers(home, 'mine');
  expect(existsSync(join(home, 'workspaces', 'mine'))).toBe(false);
  expect(existsSync(mine)).toBe(false);
  expect([clone('mine-too'), ...others].map(existsSync)).toEqual([true, true, true]);
});

test('a home without clones is as good', async () => {
  await expect(removeLeftovers(home, 'mine')).resolves.toBeUndefined();
});

test('what was left half made an hour ago goes; what is being made now, and what is whole, stays', async () => {
  const id = '0190a1b2-0000-7000-8000-000000000000';
  const place = async (name: string, ageMs: number): Promise<string> => {
    await mkdir(join(home, name), { recursive: true });
    const made = new Date(Date.now() - ageMs);
    await utimes(join(home, name), made, made);
    return join(home, name);
  };
  const old = [await place(`hubs/a.git.making-${id}`, 4e6), await place(`repositories/a.making-${id}`, 4e6)];
  const stays = [await place(`hubs/b.git.leaving-${id}`, 0), await place('hubs/c.git', 4e6)];
  expect(await sweepHalfMade({ home }, Date.now())).toEqual(old);
  expect([...old, ...stays].map(existsSync)).toEqual([false, false, true, true]);
});
