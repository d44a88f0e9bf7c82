import { spawn } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fail } from '@nexus/shared/errors';
import { refs } from '@nexus/shared/git';
import { listMarked } from '@nexus/shared/process';
import { afterAll, afterEach, beforeEach, describe, expect, onTestFinished, test } from 'vitest';
import { author, closeTemplates, openRig, type Rig, taskId } from '../../test/tools/worker.ts';
import { openCheckpoints, saveForGood } from './checkpoint.ts';
import { takeAttempt } from './record.ts';
import { markSaved, openWorkspace, removeWorkspace, rescue, sweepWorkspaces, type Workspace } from './workspace.ts';

let rig: Rig;
beforeEach(async () => {
  rig = await openRig();
});
afterEach(() => rig.close());
afterAll(closeTemplates);

const day = 86_400_000;
const signal = new AbortController().signal;

const open = (token: string, madeAt = Date.now()): Promise<Workspace> =>
  openWorkspace({
    home: rig.home,
    note: {
      task_id: taskId,
      subtask_id: 'storage',
      attempt: 1,
      token,
      mark: `test-${process.pid}-${token}`,
      base: rig.integration,
      hub: rig.hub,
    },
    now: madeAt,
    diskReserve: 0,
    signal,
  });
const write = ({ folder }: Workspace, path: string, text: string) => writeFileSync(join(folder, path), text);
const sweep = (isGone = false) =>
  sweepWorkspaces({ home: rig.home, keepMs: day, now: Date.now(), author, isGone: async () => isGone, isClaimed });
const nothing = { rescued: [], failed: [] };
const claimed = new Set<string>();
afterEach(() => claimed.clear());
const isClaimed = async (token: string) => claimed.has(token);
const refsBelow = (prefix: string) => rig.git('for-each-ref', '--format=%(refname)', prefix);

describe('a workspace', () => {
  test('is a clone at its commit, in a path of its own (rule 26)', async () => {
    const workspace = await open('t1');
    expect(workspace.folder).toBe(join(rig.home, 'workspaces', taskId, 'storage-1-t1'));
    expect(readFileSync(join(workspace.folder, 'README.md'), 'utf8')).toBe('A project.\n');
  });

  test('is never adopted: a folder that exists already is refused and left as it is', async () => {
    const folder = join(rig.home, 'workspaces', taskId, 'storage-1-t1');
    mkdirSync(folder, { recursive: true });
    writeFileSync(join(folder, 'somebody.txt'), 'x');
    await expect(open('t1')).rejects.toThrow('exists already');
    expect(readFileSync(join(folder, 'somebody.txt'), 'utf8')).toBe('x');
  });

  test('keeps its note where a new one cannot be written, so its work is still known to be unsaved', async () => {
    const workspace = await open('t1');
    mkdirSync(join(workspace.folder, '.git', 'nexus.json.draft'));
    await expect(markSaved(workspace)).rejects.toThrow();
    expect(JSON.parse(readFileSync(join(workspace.folder, '.git', 'nexus.json'), 'utf8'))).toMatchObject({
      saved: false,
    });
  });

  test('is removed only when its work was pushed', async () => {
    const workspace = await open('t1');
    await removeWorkspace(workspace);
    expect(existsSync(workspace.folder)).toBe(true);
    await markSaved(workspace);
    await removeWorkspace(workspace);
    expect(existsSync(workspace.folder)).toBe(false);
  });
});

describe('work that was left behind', () => {
  test('is pushed to the wip ref of its own claim, and its folder may go from then on', async () => {
    const dead = await open('dead');
    write(dead, 'half.txt', 'half');
    const ids = { home: rig.home, taskId, subtaskId: 'storage', token: 'mine', author, signal, isClaimed };
    const {
      rescued: [found],
    } = await rescue(ids);
    const commit = found?.commit;
    expect(rig.git('show', `${commit}:half.txt`)).toBe('half');
    expect(rig.git('rev-parse', refs(taskId).wip('storage', 1, 'dead'))).toBe(commit);
    expect(await rescue(ids)).toEqual(nothing);
  });

  test('of another subtask, or of this very claim, is left alone', async () => {
    write(await open('mine'), 'half.txt', 'half');
    const ids = { home: rig.home, taskId, author, signal, isClaimed };
    expect(await rescue({ ...ids, subtaskId: 'storage', token: 'mine' })).toEqual(nothing);
    expect(await rescue({ ...ids, subtaskId: 'other', token: 'other' })).toEqual(nothing);
  });

  test('is nobody’s to take while its claim stands: not rescued, not swept, nothing ended (rule 2)', async () => {
    const held = await open('held', Date.now() - 2 * day);
    write(held, 'half.txt', 'half');
    claimed.add('held');
    const agent = spawn('sleep', ['60'], { stdio: 'ignore', env: { ...process.env, NEXUS_MARK: held.note.mark } });
    onTestFinished(() => void agent.kill('SIGKILL'));
    const ids = { home: rig.home, taskId, subtaskId: 'storage', token: 'mine', author, signal, isClaimed };
    expect(await rescue(ids)).toEqual(nothing);
    expect(await sweep()).toEqual({ removed: [], kept: [] });
    expect(listMarked().map(({ pid }) => pid)).toContain(agent.pid);
    claimed.clear();
    expect((await rescue(ids)).rescued).toHaveLength(1);
    expect(listMarked().map(({ pid }) => pid)).not.toContain(agent.pid);
  });

  test('that could not be saved whole is named, and its folder stays until its age', async () => {
    const dead = await open('dead');
    write(dead, 'half.txt', 'half');
    write(dead, 'huge.bin', 'x'.repeat(5000));
    const ids = { home: rig.home, taskId, subtaskId: 'storage', token: 'mine', author, signal, isClaimed };
    const {
      rescued: [found],
    } = await rescue({ ...ids, fileBytesMax: 1000 });
    expect(found?.left).toEqual([expect.stringContaining('huge.bin')]);
    const [folder = ''] = readdirSync(join(rig.home, 'workspaces', taskId));
    const note = JSON.parse(readFileSync(join(dead.folder, '.git', 'nexus.json'), 'utf8'));
    expect(note).toMatchObject({ saved: true, left: [expect.stringContaining('huge.bin')] });
    await removeWorkspace({ folder: dead.folder, note });
    expect(existsSync(join(rig.home, 'workspaces', taskId, folder))).toBe(true);
  });

  test('keeps no further attempt from beginning where it cannot be saved: it is named, and stays', async () => {
    const broken = await open('broken');
    write(broken, 'half.txt', 'half');
    writeFileSync(join(broken.folder, '.git', 'HEAD'), 'garbage');
    const ids = { home: rig.home, taskId, subtaskId: 'storage', token: 'mine', author, signal, isClaimed };
    const { rescued, failed } = await rescue(ids);
    expect(rescued).toEqual([]);
    expect(failed).toEqual([expect.stringContaining(broken.folder)]);
    expect(readFileSync(join(broken.folder, 'half.txt'), 'utf8')).toBe('half');
  });

  test('is swept by age, saved before it is removed', async () => {
    const old = await open('old', Date.now() - 2 * day);
    write(old, 'half.txt', 'half');
    const fresh = await open('fresh');
    expect(await sweep()).toEqual({ removed: [old.folder], kept: [] });
    expect(existsSync(fresh.folder)).toBe(true);
    expect(rig.git('show', `${refs(taskId).wip('storage', 1, 'old')}:half.txt`)).toBe('half');
  });

  test('stays where it cannot be saved, unless its hub is gone with its task', async () => {
    const old = await open('old', Date.now() - 2 * day);
    write(old, 'half.txt', 'half');
    writeFileSync(join(old.folder, '.git', 'HEAD'), 'garbage');
    expect(await sweep()).toEqual({ removed: [], kept: [old.folder] });
    rig.close();
    mkdirSync(join(old.folder, '.git'), { recursive: true });
    writeFileSync(join(old.folder, '.git', 'nexus.json'), JSON.stringify(old.note));
    expect(await sweep()).toEqual({ removed: [old.folder], kept: [] });
  });

  test('what a deleted task left goes at once, saved or not, and its folder with it', async () => {
    const left = await open('t1');
    write(left, 'a.txt', 'one');
    expect(await sweep(false)).toEqual({ removed: [], kept: [] });
    // A ledger that was lost has no task either; then the hub still stands, and the work stays with it.
    expect(await sweep(true)).toEqual({ removed: [], kept: [] });
    rmSync(rig.hub, { recursive: true });
    expect(await sweep(true)).toEqual({ removed: [left.folder], kept: [] });
    expect(existsSync(join(rig.home, 'workspaces', taskId))).toBe(false);
  });

  test('half a clone without a note is swept by its own age', async () => {
    const half = join(rig.home, 'workspaces', taskId, 'storage-1-half');
    mkdirSync(half, { recursive: true });
    expect((await sweep()).removed).toEqual([]);
    utimesSync(half, new Date(Date.now() - 2 * day), new Date(Date.now() - 2 * day));
    expect((await sweep()).removed).toEqual([half]);
  });
});

describe('a checkpoint', () => {
  const keep = async (workspace: Workspace) => {
    const { tools } = rig.tools();
    const record = await takeAttempt(rig.order(), tools);
    if ('refused' in record) throw new Error(record.refused);
    const state = () => ({ step: 'runs the tests', spent_ms: 1234, session: null });
    const options = { workspace, author, message: 'wip', fileBytesMax: 1_000_000, record, state };
    return { tools, checkpoints: openCheckpoints(options) };
  };
  const remembered = () => JSON.parse(rig.ledger.get(`{test}:attempt:${taskId}:storage`)?.checkpoint ?? 'null');

  test('is pushed and named in the ledger, with when, by whom and at which step; or nothing is pushed', async () => {
    const workspace = await open('t1');
    const { checkpoints } = await keep(workspace);
    expect(await checkpoints.save()).toBeNull();
    expect(remembered()).toMatchObject({ commit: null, attempt: 1, step: 'runs the tests', spent_ms: 1234 });
    expect(Date.now() - Date.parse(remembered().at)).toBeLessThan(60_000);
    expect(refsBelow(`refs/nexus/${taskId}/wip/storage`)).toBe('');
    write(workspace, 'a.txt', 'one');
    const first = await checkpoints.save();
    expect(await checkpoints.save()).toBe(first);
    expect(remembered()).toMatchObject({ commit: first, token: expect.stringContaining('test-') });
    write(workspace, 'a.txt', 'two');
    const second = await saveForGood(checkpoints, workspace);
    expect(second).not.toBe(first);
    expect(remembered()).toMatchObject({ commit: second });
    expect(workspace.note.saved).toBe(true);
  });

  test('leaves the agent’s index and head as they are', async () => {
    const workspace = await open('t1');
    const { checkpoints } = await keep(workspace);
    const index = readFileSync(join(workspace.folder, '.git', 'index'));
    write(workspace, 'a.txt', 'one');
    await checkpoints.save();
    expect(readFileSync(join(workspace.folder, '.git', 'index'))).toEqual(index);
    expect(readFileSync(join(workspace.folder, '.git', 'HEAD'), 'utf8').trim()).toBe(rig.integration);
  });

  test('is refused where somebody else moved the ref of this claim (rule 27)', async () => {
    const workspace = await open('t1');
    const { checkpoints } = await keep(workspace);
    write(workspace, 'a.txt', 'one');
    await checkpoints.save();
    rig.git('update-ref', refs(taskId).wip('storage', 1, 't1'), rig.integration);
    write(workspace, 'a.txt', 'two');
    await expect(checkpoints.save()).rejects.toMatchObject({ code: 'GIT_MOVED' });
  });

  test('counts only if the claim still does', async () => {
    const workspace = await open('t1');
    const { tools, checkpoints } = await keep(workspace);
    tools.checkpoint = async () => Promise.reject(fail('CLAIM_LOST', { id: 'x' }));
    write(workspace, 'a.txt', 'one');
    await expect(checkpoints.save()).rejects.toMatchObject({ code: 'CLAIM_LOST' });
    expect(remembered()).toBeNull();
    expect(refsBelow(`refs/nexus/${taskId}/wip/storage`)).not.toBe('');
  });
});
