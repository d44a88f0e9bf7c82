/** A disk that is short, played by what `free` says; a disk that is full, by hubs that take nothing. */
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { refs } from '@nexus/shared/git';
import { afterAll, afterEach, beforeEach, describe, expect, test } from 'vitest';
import { author, closeTemplates, openRig, type Rig, taskId } from '../../test/tools/worker.ts';
import { dropRebuildable, saveMakingRoom } from './rebuildable.ts';
import { relieve } from './relief.ts';
import { markSaved, openWorkspace, rescue, type Workspace } from './workspace.ts';

let rig: Rig;
beforeEach(async () => {
  rig = await openRig({ 'README.md': 'A project.\n', '.gitignore': 'dist/\n*.log\n.env\n' });
});
afterEach(() => rig.close());
afterAll(closeTemplates);

const signal = new AbortController().signal;
const isClaimed = async (token: string) => token === 'held';
const open = (token: string): Promise<Workspace> => {
  const ids = { task_id: taskId, subtask_id: 'storage', attempt: 1, token };
  const note = { ...ids, mark: `test-${process.pid}-${token}`, base: rig.integration, hub: rig.hub };
  return openWorkspace({ home: rig.home, note, now: Date.now(), diskReserve: 0, signal });
};
const write = ({ folder }: Workspace, path: string, bytes: number | string) => {
  mkdirSync(join(folder, path, '..'), { recursive: true });
  writeFileSync(join(folder, path), typeof bytes === 'number' ? Buffer.alloc(bytes) : bytes);
};
const disk = () => ({ home: rig.home, setupCache: true, setupCacheMax: 1e9, diskReserve: 100 });
/** Short until `enough` says otherwise. */
const relief = (enough: () => boolean = () => false) =>
  relieve({ disk: disk(), fileBytesMax: 1e8, author, isClaimed, free: async () => (enough() ? 100 : 99) });

describe('what can be made again', () => {
  test('is what is ignored and large, never the agent’s report, its work, or its small settings', async () => {
    const workspace = await open('t1');
    for (const path of ['dist/a/b.bin', 'node_modules/q/q.bin', 'all.log']) write(workspace, path, 2e6);
    write(workspace, '.nexus/report.md', 'x'.repeat(2e6));
    write(workspace, 'work.bin', 2e6);
    write(workspace, '.env', 'A=1');
    expect((await dropRebuildable(workspace.folder)).sort()).toEqual(['all.log', 'dist/', 'node_modules/']);
    expect(readdirSync(workspace.folder).sort()).toEqual(
      ['.env', '.git', '.gitignore', '.nexus', 'README.md', 'work.bin'].sort(),
    );
  });

  test('goes step by step until what is to be saved can be: ignored files, then set-ups, and no more', async () => {
    const workspace = await open('t1');
    const kept = join(rig.home, 'caches', 'set-ups', 'a-key');
    mkdirSync(kept, { recursive: true });
    writeFileSync(join(kept, 'entry.json'), JSON.stringify({ paths: [], bytes: 5 }));
    write(workspace, 'dist/b.bin', 2e6);
    const seen: boolean[][] = [];
    const full = Object.assign(new Error('write'), { code: 'ENOSPC' });
    const asked = saveMakingRoom(workspace.folder, disk(), async () => {
      seen.push([existsSync(join(workspace.folder, 'dist')), existsSync(kept)]);
      throw full;
    });
    await expect(asked).rejects.toBe(full);
    expect(seen).toEqual([
      [true, true],
      [false, true],
      [false, false],
    ]);
  });

  test('stays where saving fails for another reason', async () => {
    const workspace = await open('t1');
    write(workspace, 'dist/b.bin', 2e6);
    await expect(saveMakingRoom(workspace.folder, disk(), () => Promise.reject(new Error('no')))).rejects.toThrow('no');
    expect(existsSync(join(workspace.folder, 'dist'))).toBe(true);
  });
});

describe('a worker whose disk is short', () => {
  test('removes nothing while there is room', async () => {
    const workspace = await open('t1');
    await markSaved(workspace);
    expect(await relief(() => true)).toEqual({ did: [], kept: [] });
    expect(existsSync(workspace.folder)).toBe(true);
  });

  test('removes what was pushed, whatever its age, and stops as soon as there is room', async () => {
    const [one, held, other] = [await open('t1'), await open('held'), await open('t2')];
    for (const workspace of [one, held]) await markSaved(workspace);
    write(other, 'dist/b.bin', 2e6);
    const { did } = await relief(() => !existsSync(one.folder));
    expect(did).toEqual([`removed ${one.folder}, whose work was pushed`]);
    expect([held, other].map(({ folder }) => existsSync(folder))).toEqual([true, true]);
    expect(existsSync(join(other.folder, 'dist'))).toBe(true);
  });

  test('saves what waits and leaves its note, from which the next attempt goes on, once', async () => {
    const workspace = await open('t1');
    write(workspace, 'half.txt', 'half');
    write(workspace, 'dist/b.bin', 2e6);
    const { did, kept } = await relief();
    expect(kept).toEqual([]);
    expect(did).toEqual([`removed dist/ in ${workspace.folder}`, `pushed the work in ${workspace.folder}`]);
    expect(readdirSync(workspace.folder)).toEqual(['.git']);
    expect(rig.git('show', `${refs(taskId).wip('storage', 1, 't1')}:half.txt`)).toBe('half');
    expect(await relief()).toEqual({ did: [], kept: [] });
    const options = { home: rig.home, taskId, subtaskId: 'storage', token: 't2', author, signal, isClaimed };
    const { rescued } = await rescue(options);
    expect(rescued).toEqual([
      { commit: rig.git('rev-parse', refs(taskId).wip('storage', 1, 't1')), token: 't1', left: [] },
    ]);
    expect((await rescue(options)).rescued).toEqual([]);
    await relief();
    expect(existsSync(workspace.folder)).toBe(false);
  });

  test('keeps work that cannot be pushed as it is, and what is too large to be pushed', async () => {
    const [stuck, large] = [await open('t1'), await open('t2')];
    write(stuck, 'half.txt', 'half');
    stuck.note.hub = join(rig.home, 'no-hub');
    writeFileSync(join(stuck.folder, '.git', 'nexus.json'), JSON.stringify(stuck.note));
    write(large, 'large.bin', 2e6);
    const how = { disk: disk(), author, isClaimed, free: async () => 0 };
    const { kept } = await relieve({ ...how, fileBytesMax: 1e6 });
    expect(kept).toEqual([expect.stringContaining(stuck.folder)]);
    expect(readFileSync(join(stuck.folder, 'half.txt'), 'utf8')).toBe('half');
    expect(existsSync(join(large.folder, 'large.bin'))).toBe(true);
  });

  test('leaves clones alone in which somebody works', async () => {
    const held = await open('held');
    write(held, 'dist/b.bin', 2e6);
    expect(await relief()).toEqual({ did: [], kept: [] });
    expect(existsSync(join(held.folder, 'dist'))).toBe(true);
  });
});
