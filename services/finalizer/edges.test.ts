/** Merges and releases asked for twice, by two at once, and of repositories that do not take them. */
import { execFileSync } from 'node:child_process';
import { chmodSync, existsSync, mkdirSync, readdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { commitEvidence, readRef } from '@nexus/shared/git';
import { expect, onTestFinished, test, vi } from 'vitest';
import {
  answer,
  branch,
  git,
  hashes,
  home,
  hub,
  keys,
  merge,
  names,
  personal,
  prepare,
  record,
  release,
  releasing,
  subtask,
  task,
  tools,
  work,
} from '../../test/tools/finalizer.ts';
import { leaveOut, lock, noLock, noMount } from '../../test/tools/machine.ts';
import { onReleaseRequested } from './on-release-requested.ts';

/** A person's repository, and a result that is to go there. */
const readyToRelease = async () => {
  const folder = await personal();
  const base = (await prepare(folder)).base_commit ?? '';
  const commit = await work({ 'a.txt': 'a' }, base, names.integration);
  record(base, subtask({}));
  return { folder, base, commit, run: () => release(commit, base, folder) };
};

test('rule 24: two finalizers at the same merge both find it merged, and integration moved once', async () => {
  let base = (await prepare()).base_commit ?? '';
  for (const round of [1, 2, 3]) {
    const part = `part-${round}`;
    const tested = await work({ [`${part}.txt`]: 'x' }, base, `refs/nexus/x/${round}`);
    const both = await Promise.all([merge(part, base, tested), merge(part, base, tested)]);
    for (const one of both) expect(one).toMatchObject({ outcome: 'merged', commit: tested });
    expect(await readRef(hub, names.merged(part))).toBe(tested);
    base = tested;
  }
  expect(git(hub, 'rev-list', '--count', '--first-parent', names.integration)).toBe('4');
});

test('rule 24: of two candidates tested on one head one is merged, the other is told the new head', async () => {
  const base = (await prepare()).base_commit ?? '';
  const [one, two] = [await work({ 'a.txt': 'a' }, base), await work({ 'b.txt': 'b' }, base, 'refs/nexus/x/2')];
  const both = await Promise.all([merge('one', base, one), merge('two', base, two)]);
  expect(both.map(({ outcome }) => outcome).sort()).toEqual(['merged', 'moved']);
  const head = both.find(({ outcome }) => outcome === 'merged')?.commit;
  expect(both.map(({ commit }) => commit)).toEqual([head, head]);
  const markers = await Promise.all(['one', 'two'].map((part) => readRef(hub, names.merged(part))));
  expect(markers.filter((marker) => marker !== null)).toEqual([head]);
});

test('rule 24: a merge whose marker stands is merged, though integration has gone on since', async () => {
  const base = (await prepare()).base_commit ?? '';
  const one = await work({ 'a.txt': 'a' }, base);
  await merge('one', base, one);
  const two = await work({ 'b.txt': 'b' }, one, 'refs/nexus/x/2');
  await merge('two', one, two);
  expect(await merge('one', base, one)).toMatchObject({ outcome: 'merged', commit: two });
  expect(await readRef(hub, names.integration)).toBe(two);
});

test('two finalizers at the same release give the same answer, and the branch is there once', async () => {
  const { folder, base, commit } = await readyToRelease();
  const both = await Promise.all([1, 2].map(() => onReleaseRequested(releasing(commit, base, folder), tools())));
  for (const outcome of both) expect(answer('release.finished', outcome, false)).toMatchObject({ result: { commit } });
  expect(git(folder, 'rev-parse', branch)).toBe(commit);
  expect(git(folder, 'for-each-ref', '--format=%(refname)').split('\n')).toEqual([
    'refs/heads/main',
    `refs/heads/${branch}`,
  ]);
});

test('two finalizers that make the same new repository make one', async () => {
  const base = (await prepare()).base_commit ?? '';
  const commit = await work({ 'a.txt': 'a' }, base, names.integration);
  record(base, subtask({}));
  const both = await Promise.all([1, 2].map(() => onReleaseRequested(releasing(commit, base), tools())));
  for (const outcome of both) expect(answer('release.finished', outcome, false)).toMatchObject({ result: { commit } });
  const folder = join(home, 'repositories');
  expect(readdirSync(folder)).toEqual([task]);
  expect(git(join(folder, task), 'status', '--porcelain')).toBe('');
});

test('a branch of that name that is another commit stays, and the report says how to get the result', async () => {
  const { folder, commit, run } = await readyToRelease();
  git(folder, 'branch', branch);
  const theirs = git(folder, 'rev-parse', branch);
  const { result, code, says } = await run();
  expect([result, code]).toEqual([null, 'RELEASE_FAILED']);
  expect(says).toContain(`already is ${theirs}`);
  expect(git(folder, 'rev-parse', branch)).toBe(theirs);
  const report = hashes.get(keys.report(task))?.markdown ?? '';
  expect(report).toContain(commit);
  expect(report).toContain(`fetch ${hub} ${names.integration}`);
});

test('a branch that somebody makes while ours is pushed is never overwritten', async () => {
  const { folder, run } = await readyToRelease();
  const theirs = git(folder, 'rev-parse', 'main');
  // In the moment between our look and our push: a git that does it first whenever it is asked to push.
  const bin = join(home, 'bin');
  const real = execFileSync('which', ['git'], { encoding: 'utf8' }).trim();
  const first = `env -u GIT_DIR ${real} -C '${folder}' update-ref refs/heads/${branch} ${theirs}`;
  mkdirSync(bin);
  writeFileSync(join(bin, 'git'), `#!/bin/sh\ncase " $* " in *" push "*) ${first};; esac\nexec ${real} "$@"\n`);
  chmodSync(join(bin, 'git'), 0o755);
  vi.stubEnv('PATH', `${bin}:${process.env.PATH}`);
  onTestFinished(() => void vi.unstubAllEnvs());
  const { result, code, says } = await run();
  expect([result, code]).toEqual([null, 'RELEASE_FAILED']);
  expect(says).toContain(`already is ${theirs}`);
  expect(git(folder, 'rev-parse', branch)).toBe(theirs);
});

test('a repository that was moved away is an answer, and where it comes back it is released', async () => {
  const { folder, commit, run } = await readyToRelease();
  renameSync(folder, `${folder} elsewhere`);
  expect(await run()).toMatchObject({ result: null, code: 'RELEASE_FAILED' });
  expect(hashes.get(keys.report(task))?.markdown).toContain('not released');
  renameSync(`${folder} elsewhere`, folder);
  expect(await run()).toMatchObject({ code: null, result: { commit } });
});

leaveOut('a repository that cannot be written', noLock);
test.skipIf(noLock !== null)('a repository that cannot be written is an answer with the words of git', async () => {
  const { folder, run } = await readyToRelease();
  const objects = join(folder, '.git', 'objects');
  lock(objects, true, { whole: true });
  try {
    const { result, code, says } = await run();
    expect([result, code]).toEqual([null, 'RELEASE_FAILED']);
    expect(says).toMatch(/permission|not permitted|unable to create/i);
  } finally {
    lock(objects, false, { whole: true });
  }
});

leaveOut('a full disk', noMount);
test.skipIf(noMount !== null)('a full disk is asked again later, and is released once there is room', async () => {
  const { folder, commit, base } = await readyToRelease();
  const disk = join(home, 'disk');
  mkdirSync(disk);
  execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=1m', 'tmpfs', disk]);
  try {
    const full = join(disk, 'repository');
    git(home, 'clone', '-q', folder, full);
    execFileSync('sh', ['-c', `cat /dev/zero > '${disk}/ballast' || true`], { stdio: 'ignore' });
    const tried = release(commit, base, full);
    await expect(tried).rejects.toMatchObject({ code: 'RELEASE_FAILED', entry: { outcome: 'retry' } });
    rmSync(join(disk, 'ballast'));
    expect(await release(commit, base, full)).toMatchObject({ code: null, result: { commit } });
  } finally {
    execFileSync('umount', ['-l', disk]);
  }
});

test('a report that was written before is written again as it is now', async () => {
  const { commit, run } = await readyToRelease();
  await commitEvidence({ hub, ref: names.evidence('report'), files: { 'report.md': 'old' }, message: 'old' });
  expect((await run()).result).toMatchObject({ commit });
  expect((await run()).result).toMatchObject({ commit });
  expect(git(hub, 'show', `${names.evidence('report')}:report.md`)).toContain('completed');
  expect(existsSync(hub)).toBe(true);
});
