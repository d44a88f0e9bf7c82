/** The finalizer's handlers on real repositories. */

import { execFileSync } from 'node:child_process';
import { chmodSync, existsSync } from 'node:fs';
import { mkdir, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { readRef } from '@nexus/shared/git';
import { expect, test } from 'vitest';
import {
  branch,
  git,
  hashes,
  home,
  hub,
  keys,
  merge,
  message,
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
import { onHubDiscarded } from './on-hub-discarded.ts';
import { onReleaseRequested } from './on-release-requested.ts';

test('a hub is made once, and asking again gives the same answer', async () => {
  const one = await prepare();
  expect(one).toMatchObject({ code: null, base_commit: await readRef(hub, names.integration) });
  expect(await prepare()).toEqual(one);
});

test('a repository that is not reached is asked again later', async () => {
  await expect(prepare('http://127.0.0.1:9/it.git')).rejects.toMatchObject({
    code: 'REPOSITORY_UNREACHED',
    entry: { outcome: 'retry' },
  });
});

test('a repository that cannot be used is an answer with its code', async () => {
  expect(await prepare(join(home, 'nothing'))).toMatchObject({ code: 'REPOSITORY_MISSING', base_commit: null });
  expect(await prepare(await personal(), 'no-such-branch')).toMatchObject({ code: 'BASE_UNKNOWN' });
  expect(existsSync(hub)).toBe(false);
});

test('rule 24: a tested commit is merged with its marker; the same again is merged, too', async () => {
  const { base_commit: base } = await prepare();
  const tested = await work({ 'a.txt': 'a' }, base ?? '');
  expect(await merge('build', base ?? '', tested)).toMatchObject({ outcome: 'merged', commit: tested });
  expect(await readRef(hub, names.integration)).toBe(tested);
  expect(await readRef(hub, names.merged('build'))).toBe(tested);
  expect(await merge('build', base ?? '', tested)).toMatchObject({ outcome: 'merged', commit: tested });
});

test('a merge onto a head that has moved answers with the head of now, and changes nothing', async () => {
  const base = (await prepare()).base_commit ?? '';
  const [one, two] = [await work({ 'a.txt': 'a' }, base), await work({ 'b.txt': 'b' }, base, 'refs/nexus/x/2')];
  await merge('one', base, one);
  expect(await merge('two', base, two)).toMatchObject({ outcome: 'moved', commit: one });
  expect(await readRef(hub, names.integration)).toBe(one);
  expect(await readRef(hub, names.merged('two'))).toBeNull();
});

test('a result goes to the repository as a branch, twice without harm, and its commands do what they say', async () => {
  const folder = await personal();
  const base = (await prepare(folder)).base_commit ?? '';
  const commit = await work(
    { 'a.txt': 'a', 'package.json': '{"scripts":{"start":"node a.js"}}' },
    base,
    names.integration,
  );
  record(base, subtask({}));
  const { result, code } = await release(commit, base, folder);
  expect(code).toBeNull();
  expect(result).toMatchObject({ branch, commit, repository: folder, start: 'npm start', proven: true });
  expect(git(folder, 'rev-parse', branch)).toBe(commit);
  expect(git(folder, 'symbolic-ref', 'HEAD')).toBe('refs/heads/main');
  expect(git(folder, 'status', '--porcelain')).toBe('');
  expect(await release(commit, base, folder)).toMatchObject({ result, code: null });
  expect(execFileSync('sh', ['-c', result?.look ?? 'false'], { encoding: 'utf8' })).toContain('a.txt');
  execFileSync('sh', ['-c', result?.undo ?? 'false']);
  expect(git(folder, 'branch', '--list', 'nexus/*')).toBe('');
});

test('a task without a repository gets one in which its result is checked out', async () => {
  const base = (await prepare()).base_commit ?? '';
  const files = { 'start.js': 'console.log("it runs")', 'package.json': '{"scripts":{"start":"node start.js"}}' };
  const commit = await work(files, base, names.integration);
  record(base, subtask({}));
  const { result } = await release(commit, base);
  const folder = join(home, 'repositories', task);
  expect(result).toMatchObject({ repository: folder, branch, start: `cd ${folder} && npm start` });
  expect(git(folder, 'symbolic-ref', '--short', 'HEAD')).toBe(branch);
  expect(git(folder, 'rev-parse', 'main')).toBe(base);
  expect(git(folder, 'remote')).toBe('');
  expect(git(folder, 'status', '--porcelain')).toBe('');
  expect(execFileSync('sh', ['-c', result?.start ?? 'false'], { encoding: 'utf8' })).toContain('it runs');
  expect(await release(commit, base)).toMatchObject({ result });
  execFileSync('sh', ['-c', result?.undo ?? 'false'], { stdio: 'pipe' });
  expect(git(folder, 'branch', '--list')).toBe('* main');
  expect((await release(commit, base)).result?.commit).toBe(commit);
});

test('a repository that refuses is an answer with the words of git, and the report says so', async () => {
  const folder = await personal();
  const base = (await prepare(folder)).base_commit ?? '';
  const commit = await work({ 'a.txt': 'a' }, base, names.integration);
  record(base, subtask({}));
  const hook = join(folder, '.git', 'hooks', 'pre-receive');
  await mkdir(dirname(hook), { recursive: true });
  await writeFile(hook, '#!/bin/sh\necho no pushes on Fridays >&2\nexit 1\n');
  chmodSync(hook, 0o755);
  const { result, code, says } = await release(commit, base, folder);
  expect([result, code]).toEqual([null, 'RELEASE_FAILED']);
  expect(says).toContain('no pushes on Fridays');
  expect(hashes.get(keys.report(task))?.markdown).toContain('not released');
});

test('a repository that cannot be reached now is tried again', async () => {
  const base = (await prepare()).base_commit ?? '';
  const commit = await work({ 'a.txt': 'a' }, base, names.integration);
  record(base, subtask({}));
  const away = 'http://user:hunter2@127.0.0.1:9/it.git';
  const tried = Promise.resolve(onReleaseRequested(releasing(commit, base, away), tools()));
  const failure = await tried.catch((error: unknown) => error);
  expect(failure).toMatchObject({ code: 'REPOSITORY_UNREACHED', entry: { outcome: 'retry' } });
  expect(String(failure)).not.toContain('hunter2');
});

test('a deleted task leaves neither hub, clones nor report, but the repository stays', async () => {
  const base = (await prepare()).base_commit ?? '';
  const commit = await work({ 'a.txt': 'a' }, base, names.integration);
  record(base, subtask({}));
  await release(commit, base);
  const clones = [join(home, 'workspaces', task), join(home, 'workspaces', 'another-abc123')];
  for (const clone of clones) await mkdir(join(clone, 'build-1-token'), { recursive: true });
  const outcome = await onHubDiscarded(message('hub.discarded', { task_id: task }), tools());
  expect(outcome).toMatchObject({ is: 'done', write: [{ op: 'remove', key: keys.report(task) }] });
  expect([hub, ...clones].map(existsSync)).toEqual([false, false, true]);
  expect(existsSync(join(home, 'repositories', task, 'a.txt'))).toBe(true);
  expect((await onHubDiscarded(message('hub.discarded', { task_id: task }), tools())).is).toBe('done');
});
