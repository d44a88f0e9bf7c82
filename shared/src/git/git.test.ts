/** Goal: no work is lost and nothing of the person's is touched. Method: real git in temporary folders. */
import { execFileSync } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  realpathSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import {
  cloneAt,
  commitAll,
  commitEvidence,
  conflictMarkers,
  createHub,
  diffStat,
  fetchCommits,
  headOf,
  listEvidence,
  listRefs,
  mergeCandidate,
  mergeInto,
  pushMerge,
  pushRef,
  readEvidence,
  readRef,
  refs,
  removeHub,
  snapshot,
} from '@nexus/shared/git';
import { afterAll, describe, expect, test } from 'vitest';

const root = realpathSync(mkdtempSync(join(tmpdir(), 'nexus-git-test-')));
afterAll(() => rmSync(root, { recursive: true, force: true }));

const author = { name: 'Aria', email: 'aria@nexus.local' };
const task = 'a-task-123456';
const names = refs(task);
let count = 0;
const fresh = (name: string): string => join(root, `${count++}`, name);

const plain = (folder: string, ...args: string[]): string =>
  execFileSync('git', ['-C', folder, ...args], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] }).trim();

const write = (folder: string, files: Record<string, string>): void => {
  for (const [path, text] of Object.entries(files)) {
    mkdirSync(dirname(join(folder, path)), { recursive: true });
    writeFileSync(join(folder, path), text);
  }
};

/** A hub with one commit of these files on integration. */
const hubWith = async (files: Record<string, string>): Promise<{ hub: string; base: string }> => {
  const hub = fresh(`${task}.git`);
  const { baseCommit } = await createHub({ hub, repository: null, base: null });
  if (Object.keys(files).length === 0) return { hub, base: baseCommit };
  const { folder, commit } = await change(hub, baseCommit, files);
  await pushRef({ folder, hub, commit, ref: names.integration, lease: baseCommit });
  return { hub, base: commit };
};

/** A clone of the hub in which these files were changed and committed. */
const change = async (
  hub: string,
  from: string,
  files: Record<string, string>,
): Promise<{ folder: string; commit: string }> => {
  const { folder } = await cloneAt({ hub, folder: fresh('clone'), commit: from });
  write(folder, files);
  const { commit } = await commitAll(folder, { message: 'Change', author });
  if (commit === null) throw new Error('nothing changed');
  return { folder, commit };
};

const merge = { message: 'Merge one subtask', date: '2026-01-02T03:04:05Z' };

describe('a private clone', () => {
  test('stands detached at a commit that only refs/nexus/ names, with an identity and without a remote', async () => {
    const { hub, base } = await hubWith({ 'a.txt': 'a\n' });
    const { folder, commit } = await change(hub, base, { 'b.txt': 'b\n' });
    await pushRef({ folder, hub, commit, ref: names.attempt('one', 1, 'tok'), lease: null });
    const clone = await cloneAt({ hub, folder: fresh('clone'), commit });
    expect(await headOf(clone.folder)).toBe(commit);
    expect(plain(clone.folder, 'status', '--porcelain', '--branch')).toBe('## HEAD (no branch)');
    expect(plain(clone.folder, 'remote')).toBe('');
    expect(plain(clone.folder, 'config', 'user.email')).toBe('nexus@localhost');
    expect(existsSync(join(clone.folder, '.git', 'objects', 'info', 'alternates'))).toBe(false);
    expect(readFileSync(join(clone.folder, 'b.txt'), 'utf8')).toBe('b\n');
  });

  test('keeps what lies under .nexus/ out of commits', async () => {
    const { hub, base } = await hubWith({});
    const { folder } = await cloneAt({ hub, folder: fresh('clone'), commit: base });
    write(folder, { '.nexus/plan.json': '{}', 'kept.txt': 'kept' });
    const { changed } = await commitAll(folder, { message: 'Keep', author });
    expect(changed).toEqual(['kept.txt']);
  });

  test('by way of a mirror asks the hub only for what the mirror lacks', async () => {
    const { hub, base } = await hubWith({ 'a.txt': 'a\n' });
    const mirror = fresh('mirror.git');
    await cloneAt({ hub, folder: fresh('clone'), commit: base, mirror });
    const { commit, folder } = await change(hub, base, { 'b.txt': 'b\n' });
    await pushRef({ folder, hub, commit, ref: names.wip('one', 1, 'tok'), lease: null });
    const clone = await cloneAt({ hub, folder: fresh('clone'), commit, mirror });
    expect(await headOf(clone.folder)).toBe(commit);
    await removeHub(hub);
    const without = await cloneAt({ hub, folder: fresh('clone'), commit, mirror });
    expect(await headOf(without.folder)).toBe(commit);
  });

  test('works from a hub behind a URL, too', async () => {
    const { hub, base } = await hubWith({ 'a.txt': 'a\n' });
    const clone = await cloneAt({ hub: `file://${hub}`, folder: fresh('clone'), commit: base });
    expect(await headOf(clone.folder)).toBe(base);
    expect(plain(clone.folder, 'remote')).toBe('');
  });

  test('of a commit that does not exist fails and leaves no folder', async () => {
    const { hub } = await hubWith({});
    const folder = fresh('clone');
    await expect(cloneAt({ hub, folder, commit: '1'.repeat(40) })).rejects.toMatchObject({ code: 'GIT_FAILED' });
    expect(existsSync(folder)).toBe(false);
  });

  test('never takes over a folder that is there', async () => {
    const { hub, base } = await hubWith({});
    const folder = fresh('clone');
    write(folder, { 'theirs.txt': 'theirs' });
    await expect(cloneAt({ hub, folder, commit: base })).rejects.toThrow();
    expect(readdirSync(folder)).toEqual(['theirs.txt']);
  });

  test('succeeds while others push to the hub', async () => {
    const { hub, base } = await hubWith({ 'a.txt': 'a\n' });
    const pushes = Array.from({ length: 6 }, async (_, index) => {
      const { folder, commit } = await change(hub, base, { [`${index}.txt`]: `${index}` });
      await pushRef({ folder, hub, commit, ref: names.wip('one', index, 'tok'), lease: null });
    });
    const clones = Array.from({ length: 6 }, () => cloneAt({ hub, folder: fresh('clone'), commit: base }));
    await Promise.all([...pushes, ...clones]);
    expect(await listRefs(hub, `refs/nexus/${task}/wip/`)).toHaveLength(6);
  });
});

describe('a commit', () => {
  test('holds names of every script and large files, and lists each path as it is', async () => {
    const { hub, base } = await hubWith({});
    const { folder } = await cloneAt({ hub, folder: fresh('clone'), commit: base });
    const large = 'x'.repeat(6_000_000);
    write(folder, { 'grüße/日本.txt': 'hello', 'with "quotes"\t.txt': 'q', 'large.bin': large });
    const { changed, commit } = await commitAll(folder, { message: 'Überall\n\n# kept', author });
    expect(changed.sort()).toEqual(['grüße/日本.txt', 'large.bin', 'with "quotes"\t.txt'].sort());
    expect(plain(folder, 'log', '-1', '--format=%an %ae|%cn|%B')).toBe('Aria aria@nexus.local|NEXUS|Überall\n\n# kept');
    await pushRef({ folder, hub, commit: commit ?? '', ref: names.attempt('one', 1, 'tok'), lease: null });
    const again = await cloneAt({ hub, folder: fresh('clone'), commit: commit ?? '' });
    expect(readFileSync(join(again.folder, 'large.bin'), 'utf8')).toBe(large);
    const stat = await diffStat(hub, base, commit ?? '');
    expect(stat.files.map(({ path }) => path).sort()).toEqual(changed);
  });

  test('is null when nothing changed', async () => {
    const { hub, base } = await hubWith({ 'a.txt': 'a\n' });
    const { folder } = await cloneAt({ hub, folder: fresh('clone'), commit: base });
    const nothing = { commit: null, changed: [] };
    expect(await commitAll(folder, { message: 'None', author, since: base })).toEqual(nothing);
    expect(await snapshot(folder, { message: 'None', author, since: base })).toEqual(nothing);
  });

  test('counts what the agent committed itself since the beginning', async () => {
    const { hub, base } = await hubWith({ 'a.txt': 'a\n' });
    const { folder } = await cloneAt({ hub, folder: fresh('clone'), commit: base });
    write(folder, { 'own.txt': 'own' });
    plain(folder, 'checkout', '-q', '-b', 'feature');
    plain(folder, 'add', '.');
    plain(folder, 'commit', '-q', '-m', 'By the agent');
    const made = await commitAll(folder, { message: 'Ours', author, since: base });
    expect(made).toEqual({ commit: plain(folder, 'rev-parse', 'HEAD'), changed: ['own.txt'] });
  });

  test('runs no hook and survives a lock that a killed git left behind', async () => {
    const { hub, base } = await hubWith({ 'a.txt': 'a\n' });
    const { folder } = await cloneAt({ hub, folder: fresh('clone'), commit: base });
    write(folder, { '.git/hooks/pre-commit': '#!/bin/sh\ntouch ran\nexit 1\n', 'a.txt': 'b\n', '.git/index.lock': '' });
    execFileSync('chmod', ['+x', join(folder, '.git/hooks/pre-commit')]);
    plain(folder, 'config', 'core.hooksPath', '.git/hooks');
    const { commit } = await commitAll(folder, { message: 'Through', author });
    expect(commit).not.toBeNull();
    expect(existsSync(join(folder, 'ran'))).toBe(false);
  });

  test('holds the files of a project in which a generator ran `git init`', async () => {
    const { hub, base } = await hubWith({});
    const { folder } = await cloneAt({ hub, folder: fresh('clone'), commit: base });
    write(folder, { 'app/main.js': 'run()', 'app/lib/x.js': 'x' });
    plain(join(folder, 'app'), 'init', '-q');
    const { changed } = await commitAll(folder, { message: 'App', author });
    expect(changed.sort()).toEqual(['app/lib/x.js', 'app/main.js']);
  });

  test('never goes into the repository above when the clone has lost its .git', async () => {
    const above = fresh('above');
    mkdirSync(above, { recursive: true });
    plain(above, 'init', '-q');
    const { hub, base } = await hubWith({});
    const { folder } = await cloneAt({ hub, folder: join(above, 'clone'), commit: base });
    rmSync(join(folder, '.git'), { recursive: true });
    write(folder, { 'a.txt': 'a' });
    await expect(commitAll(folder, { message: 'Lost', author })).rejects.toMatchObject({ code: 'GIT_FAILED' });
    expect(plain(above, 'status', '--porcelain')).toBe('?? clone/');
  });

  test('as a snapshot leaves head, index and work tree as the agent has them', async () => {
    const { hub, base } = await hubWith({ 'a.txt': 'a\n' });
    const { folder } = await cloneAt({ hub, folder: fresh('clone'), commit: base });
    write(folder, { 'a.txt': 'changed\n', 'staged.txt': 's', 'new.txt': 'n' });
    plain(folder, 'add', 'staged.txt');
    const before = plain(folder, 'status', '--porcelain');
    const { commit, changed } = await snapshot(folder, { message: 'Checkpoint', author, since: base });
    expect(changed).toEqual(['a.txt', 'new.txt', 'staged.txt']);
    expect(plain(folder, 'status', '--porcelain')).toBe(before);
    expect(await headOf(folder)).toBe(base);
    expect(plain(folder, 'rev-parse', `${commit}^`)).toBe(base);
    expect(readdirSync(join(folder, '.git')).filter((name) => name.startsWith('nexus-index'))).toEqual([]);
  });
});

describe('conflict markers', () => {
  test('are found only where a changed file holds a whole conflict', async () => {
    const { hub, base } = await hubWith({ 'old.txt': '<<<<<<< a\n1\n=======\n2\n>>>>>>> b\n' });
    const { folder } = await cloneAt({ hub, folder: fresh('clone'), commit: base });
    write(folder, {
      'title.md': 'Title\n=======\ntext\n',
      'quote.md': ' <<<<<<< a\n=======\n>>>>>>> b\n',
      'half.txt': '<<<<<<< a\nonly the beginning\n',
      'whole.txt': 'x\r\n<<<<<<< HEAD\r\n1\r\n=======\r\n2\r\n>>>>>>> theirs\r\n',
      'diff3.txt': '<<<<<<< HEAD\n1\n||||||| base\n0\n=======\n2\n>>>>>>> theirs\n',
    });
    expect(await conflictMarkers(folder)).toEqual(['diff3.txt', 'whole.txt']);
    await commitAll(folder, { message: 'All', author });
    expect(await conflictMarkers(folder)).toEqual([]);
    expect(await conflictMarkers(folder, base)).toEqual(['diff3.txt', 'whole.txt']);
  });
});

describe('a merge', () => {
  test('that conflicts goes back with markers, is resolved, and is then a clean candidate', async () => {
    const { hub, base } = await hubWith({ 'a.txt': 'one\ntwo\nthree\n' });
    const first = await change(hub, base, { 'a.txt': 'one\nTWO by first\nthree\n' });
    const second = await change(hub, base, { 'a.txt': 'one\nTWO by second\nthree\n' });
    await pushRef({ ...first, hub, ref: names.integration, lease: base });
    await pushRef({ ...second, hub, ref: names.attempt('two', 1, 't'), lease: null });

    const checker = await cloneAt({ hub, folder: fresh('clone'), commit: first.commit });
    const refused = await mergeCandidate({
      folder: checker.folder,
      base: first.commit,
      commit: second.commit,
      ...merge,
    });
    expect(refused).toEqual({ merged: null, conflicts: ['a.txt'] });
    expect(plain(checker.folder, 'status', '--porcelain')).toBe('');
    expect(await headOf(checker.folder)).toBe(first.commit);

    const again = await cloneAt({ hub, folder: fresh('clone'), commit: first.commit });
    const into = await mergeInto(again.folder, second.commit, { message: 'Bring the work so far' });
    expect(into).toEqual({ clean: false, files: ['a.txt'] });
    expect(await conflictMarkers(again.folder)).toEqual(['a.txt']);
    write(again.folder, { 'a.txt': 'one\nTWO by both\nthree\n' });
    const { commit } = await commitAll(again.folder, { message: 'Reconcile', author, since: first.commit });
    expect(plain(again.folder, 'rev-list', '--parents', '-1', 'HEAD')).toBe(
      `${commit} ${first.commit} ${second.commit}`,
    );
    await pushRef({ folder: again.folder, hub, commit: commit ?? '', ref: names.attempt('two', 2, 't'), lease: null });

    await fetchCommits({ folder: checker.folder, hub, commits: [commit ?? '', base] });
    const passed = await mergeCandidate({
      folder: checker.folder,
      base: first.commit,
      commit: commit ?? '',
      ...merge,
    });
    expect(passed.conflicts).toEqual([]);
    expect(await headOf(checker.folder)).toBe(passed.merged);
    expect(readFileSync(join(checker.folder, 'a.txt'), 'utf8')).toBe('one\nTWO by both\nthree\n');
  });

  test('of the same input is the same commit, whoever makes it and when', async () => {
    const { hub, base } = await hubWith({ 'a.txt': 'a\n' });
    const { commit, folder } = await change(hub, base, { 'b.txt': 'b\n' });
    await pushRef({ folder, hub, commit, ref: names.attempt('one', 1, 't'), lease: null });
    const merged = [];
    for (let round = 0; round < 2; round += 1) {
      const clone = await cloneAt({ hub, folder: fresh('clone'), commit: base });
      write(clone.folder, { 'left-over.txt': 'x' });
      merged.push((await mergeCandidate({ folder: clone.folder, base, commit, ...merge })).merged);
      expect(plain(clone.folder, 'status', '--porcelain')).toBe('');
    }
    expect(merged[0]).toBe(merged[1]);
    expect(plain(folder, 'cat-file', '-t', commit)).toBe('commit');
  });

  test('of what base already holds is base itself', async () => {
    const { hub, base } = await hubWith({ 'a.txt': 'a\n' });
    const { folder, commit } = await change(hub, base, { 'b.txt': 'b\n' });
    expect(await mergeCandidate({ folder, base: commit, commit: base, ...merge })).toEqual({
      merged: commit,
      conflicts: [],
    });
  });

  test('into a folder whose local changes are in the way is an error, not a conflict', async () => {
    const { hub, base } = await hubWith({ 'a.txt': 'a\n' });
    const { folder, commit } = await change(hub, base, { 'a.txt': 'b\n' });
    plain(folder, 'checkout', '-q', '--detach', base);
    write(folder, { 'a.txt': 'local\n' });
    await expect(mergeInto(folder, commit, { message: 'm' })).rejects.toMatchObject({ code: 'GIT_FAILED' });
  });
});

describe('a push to the hub', () => {
  test('of two merges at once lets one in and tells the other that it moved', async () => {
    const { hub, base } = await hubWith({ 'a.txt': 'a\n' });
    for (let round = 0; round < 3; round += 1) {
      const from = (await readRef(hub, names.integration)) ?? base;
      const candidates = await Promise.all(['x', 'y'].map((name) => change(hub, from, { [`${name}${round}`]: name })));
      const answers = await Promise.all(
        candidates.map(({ folder, commit }, index) =>
          pushMerge({
            hub,
            folder,
            base: from,
            tested: commit,
            integrationRef: names.integration,
            markerRef: names.merged(`s${round}-${index}`),
          }),
        ),
      );
      expect(answers.toSorted()).toEqual(['merged', 'moved']);
      const winner = answers.indexOf('merged');
      expect(await readRef(hub, names.integration)).toBe(candidates[winner]?.commit);
      expect(await readRef(hub, names.merged(`s${round}-${winner}`))).toBe(candidates[winner]?.commit);
      expect(await readRef(hub, names.merged(`s${round}-${1 - winner}`))).toBeNull();
    }
  });

  test('of the same merge twice, one after the other or at once, merges once', async () => {
    const { hub, base } = await hubWith({ 'a.txt': 'a\n' });
    const { folder, commit } = await change(hub, base, { 'b.txt': 'b\n' });
    const push = {
      hub,
      folder,
      base,
      tested: commit,
      integrationRef: names.integration,
      markerRef: names.merged('one'),
    };
    const answers = await Promise.all([pushMerge(push), pushMerge(push), pushMerge(push)]);
    // Pushes that find everything as they want it say so, too: what counts is that nobody is told that it moved.
    expect(answers).toContain('merged');
    expect(answers).not.toContain('moved');
    expect(await pushMerge(push)).toBe('already');
    expect(await readRef(hub, names.integration)).toBe(commit);
  });

  test('on a head that has moved changes neither integration nor marker', async () => {
    const { hub, base } = await hubWith({ 'a.txt': 'a\n' });
    const first = await change(hub, base, { 'b.txt': 'b\n' });
    const second = await change(hub, base, { 'c.txt': 'c\n' });
    await pushRef({ ...first, hub, ref: names.integration, lease: base });
    const answer = await pushMerge({
      hub,
      folder: second.folder,
      base,
      tested: second.commit,
      integrationRef: names.integration,
      markerRef: names.merged('two'),
    });
    expect(answer).toBe('moved');
    expect(await readRef(hub, names.integration)).toBe(first.commit);
    expect(await readRef(hub, names.merged('two'))).toBeNull();
  });

  test('by a zombie with an old lease is refused, and the same push again is fine', async () => {
    const { hub, base } = await hubWith({ 'a.txt': 'a\n' });
    const ref = names.wip('one', 1, 'tok');
    const first = await change(hub, base, { 'b.txt': '1\n' });
    const second = await change(hub, base, { 'b.txt': '2\n' });
    await pushRef({ ...first, hub, ref, lease: null });
    await pushRef({ ...first, hub, ref, lease: null });
    await expect(pushRef({ ...second, hub, ref, lease: null })).rejects.toMatchObject({ code: 'GIT_MOVED' });
    await pushRef({ ...second, hub, ref, lease: first.commit });
    await expect(pushRef({ ...first, hub, ref, lease: base })).rejects.toMatchObject({ code: 'GIT_MOVED' });
    expect(await readRef(hub, ref)).toBe(second.commit);
  });

  test('gets past a lock that a killed git left an hour ago', async () => {
    const { hub, base } = await hubWith({ 'a.txt': 'a\n' });
    const { folder, commit } = await change(hub, base, { 'b.txt': 'b\n' });
    const lock = join(hub, `${names.integration}.lock`);
    writeFileSync(lock, '');
    execFileSync('touch', ['-d', '1 hour ago', lock]);
    const push = {
      hub,
      folder,
      base,
      tested: commit,
      integrationRef: names.integration,
      markerRef: names.merged('one'),
    };
    expect(await pushMerge(push)).toBe('merged');
  });

  test('that nobody serves is an error with the words of git', async () => {
    const { hub, base } = await hubWith({ 'a.txt': 'a\n' });
    const { folder } = await cloneAt({ hub, folder: fresh('clone'), commit: base });
    const nowhere = pushRef({ folder, hub: '/no/such/hub.git', commit: base, ref: names.integration, lease: null });
    await expect(nowhere).rejects.toThrow(/does not appear to be a git repository/);
  });
});

describe('evidence', () => {
  test('comes back as it was, nested and in every script, and leaves the branch namespace alone', async () => {
    const { hub } = await hubWith({});
    const ref = names.evidence('one/1-tok');
    const files = {
      'prompt.md': 'Do it — now.\n',
      'logs/check "a".txt': 'ü\n'.repeat(100_000),
      'logs/日本.bin': Buffer.from([1, 2, 3]),
      'empty.txt': '',
    };
    expect(await commitEvidence({ hub, ref, files, message: 'Evidence' })).toBe(ref);
    expect(await listEvidence({ hub, ref })).toEqual(Object.keys(files).sort());
    expect(await readEvidence({ hub, ref, path: 'prompt.md' })).toBe(files['prompt.md']);
    expect(await readEvidence({ hub, ref, path: 'logs/check "a".txt' })).toBe(files['logs/check "a".txt']);
    expect(await readEvidence({ hub, ref, path: 'empty.txt' })).toBe('');
    expect(await readEvidence({ hub, ref, path: 'prompt.md', bytesMax: 5 })).toBe('Do it');
    expect(await readEvidence({ hub, ref, path: 'none' })).toBeNull();
    expect(await readEvidence({ hub, ref: names.evidence('none'), path: 'none' })).toBeNull();
    expect(await listEvidence({ hub, ref: names.evidence('none') })).toEqual([]);
    expect(plain(hub, 'branch', '--list')).toBe('');
  });

  test('grows when the same ref is written again', async () => {
    const { hub } = await hubWith({});
    const ref = names.evidence('one');
    await commitEvidence({ hub, ref, files: { 'a.txt': 'a', 'b.txt': 'old' }, message: 'First' });
    await commitEvidence({ hub, ref, files: { 'b.txt': 'new', 'c.txt': 'c' }, message: 'Second' });
    expect(await listEvidence({ hub, ref })).toEqual(['a.txt', 'b.txt', 'c.txt']);
    expect(await readEvidence({ hub, ref, path: 'b.txt' })).toBe('new');
  });

  test('goes to a hub behind a URL', async () => {
    const { hub } = await hubWith({});
    const url = `file://${hub}`;
    const ref = names.evidence('one');
    await commitEvidence({ hub: url, ref, files: { 'a/b.txt': 'a' }, message: 'First' });
    await commitEvidence({ hub: url, ref, files: { 'c.txt': 'c' }, message: 'Second' });
    expect(await readEvidence({ hub: url, ref, path: 'a/b.txt' })).toBe('a');
    expect(await listEvidence({ hub, ref })).toEqual(['a/b.txt', 'c.txt']);
  });

  test('refuses a path that leads out of its tree', async () => {
    const { hub } = await hubWith({});
    for (const path of ['../x', '/x', 'a//b', '.git/config', '']) {
      const write = commitEvidence({ hub, ref: names.evidence('one'), files: { [path]: 'x' }, message: 'm' });
      await expect(write).rejects.toMatchObject({ code: 'BUG' });
    }
  });
});
