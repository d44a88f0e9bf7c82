/** The finalizer's handlers on real repositories. Only the bus's own tools and the ledger are made by hand. */
import { execFileSync } from 'node:child_process';
import { chmodSync, existsSync } from 'node:fs';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { keysOf, type LedgerWrite, type Message, type Outcome } from '@nexus/shared/bus';
import { commitEvidence, hubPath, readEvidence, readRef, refs } from '@nexus/shared/git';
import { catalog, type Kind, type PayloadOf } from '@nexus/shared/messages';
import type { Subtask } from '@nexus/shared/messages/domain';
import { silentLog } from '@nexus/shared/telemetry';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { headAt as at, boardHeadOf, subtaskOf, taskHeadOf } from '../../test/tools/task-head.ts';
import { loadTargets } from './define-target.ts';
import { onHubDiscarded } from './on-hub-discarded.ts';
import { onMergeRequested } from './on-merge-requested.ts';
import { onReleaseRequested } from './on-release-requested.ts';
import { onRepositoryRequested } from './on-repository-requested.ts';
import type { FinalizerTools } from './tools.ts';

type Tools = Parameters<typeof onReleaseRequested>[1];

const task = 'try-it-abc123';
const branch = `nexus/${task}`;
const names = refs(task);
const keys = keysOf('{test}');
const targets = await loadTargets();
let home = '';
let hub = '';
let hashes = new Map<string, Record<string, string>>();
let deliveries = 0;

beforeEach(async () => {
  home = await mkdtemp(join(tmpdir(), 'nexus-release-'));
  hub = hubPath(home, task);
  hashes = new Map();
});
afterEach(() => rm(home, { recursive: true, force: true }));

const git = (folder: string, ...args: string[]): string =>
  execFileSync('git', ['-c', 'user.name=T', '-c', 'user.email=t@t', ...args], {
    cwd: folder,
    encoding: 'utf8',
    stdio: 'pipe',
  }).trim();

const tools = (): Tools => ({
  log: silentLog(),
  signal: new AbortController().signal,
  now: () => Date.parse(at) + 90_000,
  claim: { instanceId: 'finalizer-1', token: `finalizer-1-${++deliveries}`, epoch: 1 },
  store: {
    readHash: async (key) => hashes.get(key) ?? {},
    readFields: async (key, fields) => fields.map((field) => hashes.get(key)?.[field] ?? null),
    readText: async () => null,
    readIndex: async () => [],
  },
  keys,
  begin: async () => {},
  checkpoint: async () => {},
  tell: () => {},
  config: { home, slots: 1, gitCredentials: undefined, output: undefined } as unknown as FinalizerTools['config'],
  targets,
  redact: (text) => text,
});

const message = <K extends Kind>(type: K, payload: PayloadOf<K>): Message<K> =>
  ({ type, timestamp: at, payload }) as Message<K>;

/** What an outcome publishes, as the catalog reads it; its writes go into the ledger, guarded as `settle` does. */
const answer = <K extends Kind>(kind: K, outcome: Outcome): PayloadOf<K> => {
  if (outcome.is !== 'done') throw new Error(`it was ${outcome.is}`);
  for (const write of outcome.write) apply(write);
  return catalog[kind].payload.parse(outcome.publish[0]?.payload) as PayloadOf<K>;
};

const apply = (write: LedgerWrite): void => {
  if (write.op !== 'patch') return;
  const now = hashes.get(write.key) ?? {};
  expect(Number(now.revision ?? 0)).toBe(write.revision);
  hashes.set(write.key, { ...now, ...write.set, revision: String(write.revision + 1) });
};

const prepare = async (repository: string | null = null, base: string | null = null) =>
  answer(
    'repository.prepared',
    await onRepositoryRequested(
      message('repository.requested', { task_id: task, repository, base, title: 'T' }),
      tools(),
    ),
  );

const merge = async (subtask_id: string, base: string, tested_commit: string) => {
  const payload = { task_id: task, subtask_id, attempt: 1, base, tested_commit };
  return answer('merge.finished', await onMergeRequested(message('merge.requested', payload), tools()));
};

const releasing = (commit: string, base_commit: string, repository: string | null = null) =>
  message('release.requested', {
    ...{ task_id: task, outcome: 'completed', reason: null, repository, commit, base_commit, proven: true },
    checks: { passed: 2, failed: 0, skipped: 0, broken: 0 },
  });
const release = async (commit: string, base: string, repository: string | null = null) =>
  answer('release.finished', await onReleaseRequested(releasing(commit, base, repository), tools()));

/** A commit in the hub, under a ref of its own. */
const work = async (files: Record<string, string>, onto: string, ref = 'refs/nexus/x/1'): Promise<string> => {
  const folder = await mkdtemp(join(home, 'work-'));
  git(folder, 'init', '-q');
  git(folder, 'fetch', '-q', hub, onto);
  git(folder, 'checkout', '-q', '--detach', onto);
  for (const [path, text] of Object.entries(files)) {
    await mkdir(dirname(join(folder, path)), { recursive: true });
    await writeFile(join(folder, path), text);
  }
  git(folder, 'add', '-A');
  git(folder, 'commit', '-qm', 'work');
  git(folder, 'push', '-q', '--force', hub, `HEAD:${ref}`);
  return git(folder, 'rev-parse', 'HEAD');
};

/** A person's repository with one commit, checked out on main. */
const personal = async (): Promise<string> => {
  const folder = join(home, 'their repository');
  await mkdir(folder);
  git(folder, 'init', '-q', '-b', 'main');
  await writeFile(join(folder, 'README.md'), 'theirs\n');
  git(folder, 'add', '-A');
  git(folder, 'commit', '-qm', 'first');
  return folder;
};

const subtask = (more: Partial<Subtask>): Subtask =>
  subtaskOf('build', { title: 'Build it', state: 'merged', attempt: 2, sent_back: 1, ended_at: at, ...more });

/** The ledger as it stands when a release is asked for; `null` for the base: the repository never came to be. */
const record = (base: string | null, ...subtasks: Subtask[]): void => {
  const warnings = ['It was dirty.'];
  const head = taskHeadOf(task, {
    title: 'Try it',
    status: 'releasing',
    workflow: 'simple',
    base_commit: base,
    warnings,
  });
  hashes.set(keys.task(task), {
    revision: '1',
    head: JSON.stringify(head),
    request: JSON.stringify({ request: 'Try | it.' }),
  });
  if (base === null) return;
  const board = boardHeadOf(task, {
    ...{ total: subtasks.length, integration: base, base_commit: base, proven: true, gate_runs: 3, attempts: 2 },
    ...{ sent_back: 1, merged: 1, cost: { usd: null, tokens: 1200 } },
  });
  const parts = subtasks.map((one) => [`s:${one.id}`, JSON.stringify(one)]);
  hashes.set(keys.board(task), { revision: '1', head: JSON.stringify(board), ...Object.fromEntries(parts) });
};

test('a hub is made once, and asking again gives the same answer', async () => {
  const one = await prepare();
  expect(one).toMatchObject({ code: null, base_commit: await readRef(hub, names.integration) });
  expect(await prepare()).toEqual(one);
});

test('a repository that is not reached is asked again later', async () => {
  await expect(prepare('http://127.0.0.1:9/it.git')).rejects.toMatchObject({ code: 'GIT_FAILED' });
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

test('the report tells who did what, what proves it, what does not, and what it cost', async () => {
  const base = (await prepare()).base_commit ?? '';
  const commit = await work({ 'a.txt': 'a' }, base, names.integration);
  const log = { ref: names.evidence('gate-build-2'), path: 'run/tests.log' };
  const alarms = { alarms: ['"tests" ran 2 tests, 3 before.'] };
  await commitEvidence({ hub, ref: log.ref, files: { 'run/verdict.json': JSON.stringify(alarms) }, message: 'gate' });
  const check = {
    ...{ name: 'tests', state: 'passed' as const, command: 'npm test', exit_code: 0, duration_ms: 1500, failing: [] },
    ...{ tests: { total: 3, passed: 3, failed: 0, skipped: 0 }, failing_before: false, why: '', log_tail: 'x', log },
  };
  const skipped = { ...check, name: 'lint', state: 'skipped' as const, command: null, why: 'Not declared.', log: null };
  const entry = {
    ...{ attempt: 1, agent_id: 'builder', instance_id: null, outcome: 'gate_failed', code: null, says: 'adds is red' },
    ...{ commit: null, began_at: null, ended_at: at, duration_ms: 2000, cost: { usd: null, tokens: null } },
  };
  record(base, subtask({ checks: [check, skipped], history: [entry] }));
  await release(commit, base);
  const { markdown = '', json = '' } = hashes.get(keys.report(task)) ?? {};
  for (const words of [
    ...['Try | it.', 'builder', 'attempt 1 by builder: gate_failed. adds is red', '`npm test`', '3 of 3 passed'],
    ...[
      'ran 2 tests, 3 before',
      'the check "lint" was skipped',
      'It was dirty.',
      'Cost: unknown; tokens: 1200',
      '1 min 30 s',
    ],
    ...['Undo it', `git -C ${home}`],
  ]) {
    expect(markdown).toContain(words);
  }
  expect(JSON.parse(json)).toMatchObject({ task_id: task, outcome: 'completed', numbers: { sent_back: 1 } });
  expect(await readEvidence({ hub, ref: names.evidence('report'), path: 'report.md' })).toBe(markdown);
});

test('what the gate found unproven is told as such, and not as passed', async () => {
  const base = (await prepare()).base_commit ?? '';
  const commit = await work({ 'a.txt': 'a' }, base, names.integration);
  const line = {
    ...{ attempt: 1, agent_id: 'builder', instance_id: null, code: null, says: 'Nothing that could fail has run.' },
    ...{ commit: null, began_at: null, ended_at: at, duration_ms: 0, cost: { usd: null, tokens: null } },
  };
  record(base, subtask({ history: [{ ...line, outcome: 'gate_unproven' }] }));
  await release(commit, base);
  const { markdown = '', json = '' } = hashes.get(keys.report(task)) ?? {};
  expect(markdown).toContain('| builder | merged, **unproven** |');
  expect(JSON.parse(json)).toMatchObject({
    subtasks: [{ state: 'merged', verdict: 'unproven' }],
    not_proven: ['build: merged without a check that passed.'],
  });
});

test('a task whose result is a report gets no branch, and its documents are in the report', async () => {
  const base = (await prepare()).base_commit ?? '';
  const place = { ref: names.evidence('look-1'), path: 'report.md' };
  await commitEvidence({
    hub,
    ref: place.ref,
    files: { 'report.md': '### Findings\n\nAll is well.' },
    message: 'look',
  });
  record(base, subtask({ id: 'look', kind: 'report', state: 'reported', evidence: [place] }));
  const { result } = await release(base, base);
  expect(result).toMatchObject({ branch: null, repository: null, look: null, undo: null, start: null });
  expect(existsSync(join(home, 'repositories'))).toBe(false);
  expect(hashes.get(keys.report(task))?.markdown).toContain('All is well.');
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
  expect(failure).toMatchObject({ name: 'AppError' });
  expect((failure as { entry: { outcome: string } }).entry.outcome).toBe('retry');
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
