/** Goal: a hub is there as a whole or not at all, whatever the repository is that it was made from. */
import { execFileSync } from 'node:child_process';
import { mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { createHub, hubLocation, hubPath, listRefs, pushResult, readRef, removeHub } from '@nexus/shared/git';
import { describe, expect, onTestFinished, test } from 'vitest';
import { leaveOut, lock, noLock } from '../../../test/tools/machine.ts';
import { branch, fresh, names, personal, plain, task, worked } from '../../../test/tools/repositories.ts';

describe('a hub', () => {
  test('rules 23, 28: made from nothing has one first commit, and settings for pushes side by side', async () => {
    const hub = hubPath(fresh('home'), task);
    const { baseCommit, warnings } = await createHub({ hub, repository: null, base: null });
    expect(warnings).toEqual([]);
    expect(await listRefs(hub, 'refs/')).toEqual([{ ref: `refs/nexus/${task}/integration`, commit: baseCommit }]);
    expect(plain(hub, 'log', '--format=%an <%ae>', baseCommit)).toBe('NEXUS <nexus@localhost>');
    for (const [key, value] of Object.entries({
      'receive.autogc': 'false',
      'gc.auto': '0',
      'core.fsync': 'objects,reference',
      'receive.unpackLimit': '1',
    })) {
      expect(plain(hub, 'config', '--local', key)).toBe(value);
    }
  });

  test('made from a repository holds what leads to its head, and no branch of it', async () => {
    const { repository, second } = personal();
    plain(repository, 'branch', 'other', 'HEAD~1');
    const hub = fresh(`${task}.git`);
    expect(await createHub({ hub, repository, base: null })).toEqual({ baseCommit: second, warnings: [] });
    expect(await listRefs(hub, 'refs/')).toEqual([{ ref: names.integration, commit: second }]);
  });

  test('begins at the branch, tag or commit that was asked for', async () => {
    const { repository, first, second } = personal();
    plain(repository, 'branch', 'grüne/wiese', first);
    for (const [base, commit] of [
      ['grüne/wiese', first],
      ['v1', first],
      [first, first],
      [first.slice(0, 9), first],
      ['main', second],
    ] as const) {
      for (const from of [repository, ...(base.length === 9 ? [] : [`file://${repository}`])]) {
        const hub = fresh(`${task}.git`);
        expect((await createHub({ hub, repository: from, base })).baseCommit).toBe(commit);
        expect(await readRef(hub, names.integration)).toBe(commit);
      }
    }
  });

  test('asked for again is found as it was made, though integration has gone on', async () => {
    const { repository } = personal();
    writeFileSync(join(repository, 'a.txt'), 'dirty\n');
    const { hub, base, commit } = await worked(repository);
    const again = await createHub({ hub, repository, base: null });
    expect(again.baseCommit).toBe(base);
    expect(again.warnings).toHaveLength(1);
    expect(await readRef(hub, names.integration)).toBe(commit);
  });

  test('asked for by two at once is one hub, and what a crash left half is no hub, and goes', async () => {
    const { repository, second } = personal();
    const hub = fresh(`${task}.git`);
    mkdirSync(`${hub}.making-crashed`, { recursive: true });
    const both = await Promise.all([1, 2].map(() => createHub({ hub, repository, base: null })));
    expect(both.map(({ baseCommit }) => baseCommit)).toEqual([second, second]);
    expect(readdirSync(join(hub, '..')).toSorted()).toEqual([`${task}.git`]);
  });

  leaveOut('a half-made hub that cannot be removed', noLock);
  test.skipIf(noLock !== null)('stands, and of what crashes left goes what can go', async () => {
    const hub = fresh(`${task}.git`);
    const left = ['a', 'b', 'c', 'd', 'e', 'f', 'g'].map((name) => `${hub}.making-${name}`);
    for (const folder of left) mkdirSync(join(folder, 'objects'), { recursive: true });
    const [stuck = ''] = left;
    lock(stuck, true);
    onTestFinished(() => lock(stuck, false));
    await createHub({ hub, repository: null, base: null });
    expect(readdirSync(join(hub, '..')).toSorted()).toEqual([basename(hub), basename(stuck)]);
  });

  test('is not made, and nothing left, when a URL turns out not to have the base', async () => {
    const hub = fresh(`${task}.git`);
    mkdirSync(join(hub, '..'), { recursive: true });
    const { repository } = personal();
    const making = createHub({ hub, repository: `file://${repository}`, base: '1'.repeat(40) });
    await expect(making).rejects.toMatchObject({ code: 'BASE_UNKNOWN' });
    expect(readdirSync(join(hub, '..'))).toEqual([]);
  });

  test('made from an empty repository warns and begins with a first commit', async () => {
    const repository = fresh('empty');
    mkdirSync(repository, { recursive: true });
    plain(repository, 'init', '-q');
    const { hub, commit } = await worked(repository);
    expect((await createHub({ hub, repository, base: null })).warnings[0]).toMatch(/no commit yet/);
    expect(await pushResult({ hub, commit, repository, branch })).toBe('pushed');
    expect(plain(repository, 'rev-parse', branch)).toBe(commit);
  });

  test('of a shallow repository works all the way to the result', async () => {
    const { repository } = personal();
    const shallow = fresh('shallow');
    execFileSync('git', ['clone', '-q', '--depth=1', `file://${repository}`, shallow]);
    const { hub, commit } = await worked(shallow);
    expect(await pushResult({ hub, commit, repository: shallow, branch })).toBe('pushed');
    expect(plain(shallow, 'show', `${branch}:result.txt`)).toBe('result');
  });

  test('of a repository with SHA-256 names works all the way to the result', async () => {
    const { repository, second } = personal('--object-format=sha256');
    expect(second).toHaveLength(64);
    const { hub, commit } = await worked(repository);
    expect(await pushResult({ hub, commit, repository, branch })).toBe('pushed');
    expect(plain(repository, 'rev-parse', branch)).toBe(commit);
  });

  test('behind a URL begins in its own refs, once, and is removed by them', async () => {
    const { repository, second } = personal();
    const shared = fresh('shared.git');
    execFileSync('git', ['init', '-q', '--bare', shared]);
    const hub = `file://${shared}`;
    const options = { hub, taskId: task, repository, base: null };
    expect((await createHub(options)).baseCommit).toBe(second);
    expect((await createHub(options)).baseCommit).toBe(second);
    expect(await listRefs(hub, 'refs/')).toEqual([{ ref: names.integration, commit: second }]);
    await removeHub(hub, task);
    expect(await listRefs(hub, 'refs/')).toEqual([]);
  });

  test('goes as a whole, and going twice is no error', async () => {
    const { hub } = await worked(null);
    mkdirSync(`${hub}.making-crashed`);
    await removeHub(hub);
    await removeHub(hub);
    expect(readdirSync(join(hub, '..'))).toEqual([]);
  });

  test('lies under the home, or where the setting says', () => {
    expect(hubLocation({ home: '/h' }, task)).toBe(`/h/hubs/${task}.git`);
    expect(hubLocation({ home: '/h', hubs: '/volume' }, task)).toBe(`/volume/${task}.git`);
    expect(hubLocation({ home: '/h', hubs: 'https://git.example/hubs/' }, task)).toBe(
      `https://git.example/hubs/${task}.git`,
    );
  });
});
