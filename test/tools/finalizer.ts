/**
 * What tests of the finalizer's handlers stand on: a home of their own for every test, real repositories, and the bus's
 * tools and the ledger made by hand. A test file that imports it has it from its first test on.
 */
import { execFileSync } from 'node:child_process';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { keysOf, type LedgerWrite, type Message, type Outcome } from '@nexus/shared/bus';
import { hubPath, refs } from '@nexus/shared/git';
import { catalog, type Kind, type PayloadOf } from '@nexus/shared/messages';
import type { Subtask, TaskHead } from '@nexus/shared/messages/domain';
import { silentLog } from '@nexus/shared/telemetry';
import { afterEach, beforeEach, expect } from 'vitest';
import { loadTargets } from '../../services/finalizer/define-target.ts';
import { onMergeRequested } from '../../services/finalizer/on-merge-requested.ts';
import { onReleaseRequested } from '../../services/finalizer/on-release-requested.ts';
import { onRepositoryRequested } from '../../services/finalizer/on-repository-requested.ts';
import type { FinalizerTools } from '../../services/finalizer/tools.ts';
import { headAt as at, boardHeadOf, subtaskOf, taskHeadOf } from './task-head.ts';

type Tools = Parameters<typeof onReleaseRequested>[1];

export const task = 'try-it-abc123';
export const branch = `nexus/${task}`;
export const names = refs(task);
export const keys = keysOf('{test}');
const targets = await loadTargets();
export let home = '';
export let hub = '';
export let hashes = new Map<string, Record<string, string>>();
let deliveries = 0;

beforeEach(async () => {
  home = await mkdtemp(join(tmpdir(), 'nexus-release-'));
  hub = hubPath(home, task);
  hashes = new Map();
});
afterEach(() => rm(home, { recursive: true, force: true }));

export const git = (folder: string, ...args: string[]): string =>
  execFileSync('git', ['-c', 'user.name=T', '-c', 'user.email=t@t', ...args], {
    cwd: folder,
    encoding: 'utf8',
    stdio: 'pipe',
  }).trim();

export const tools = (): Tools => ({
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

export const message = <K extends Kind>(type: K, payload: PayloadOf<K>): Message<K> =>
  ({ type, timestamp: at, payload }) as Message<K>;

/** What an outcome publishes, by its schema; unless it loses, its writes go into the ledger as `settle` puts them. */
export const answer = <K extends Kind>(kind: K, outcome: Outcome, settles = true): PayloadOf<K> => {
  if (outcome.is !== 'done') throw new Error(`it was ${outcome.is}`);
  if (settles) for (const write of outcome.write) apply(write);
  return catalog[kind].payload.parse(outcome.publish[0]?.payload) as PayloadOf<K>;
};

export const apply = (write: LedgerWrite): void => {
  if (write.op !== 'patch') return;
  const now = hashes.get(write.key) ?? {};
  expect(Number(now.revision ?? 0)).toBe(write.revision);
  hashes.set(write.key, { ...now, ...write.set, revision: String(write.revision + 1) });
};

export const prepare = async (repository: string | null = null, base: string | null = null) =>
  answer(
    'repository.prepared',
    await onRepositoryRequested(
      message('repository.requested', { task_id: task, repository, base, title: 'T' }),
      tools(),
    ),
  );

export const merge = async (subtask_id: string, base: string, tested_commit: string) => {
  const payload = { task_id: task, subtask_id, attempt: 1, base, tested_commit };
  return answer('merge.finished', await onMergeRequested(message('merge.requested', payload), tools()));
};

export const releasing = (commit: string, base_commit: string, repository: string | null = null) =>
  message('release.requested', {
    ...{ task_id: task, outcome: 'completed', reason: null, repository, commit, base_commit, proven: true },
    checks: { passed: 2, failed: 0, skipped: 0, broken: 0 },
  });
export const release = async (commit: string, base: string, repository: string | null = null) =>
  answer('release.finished', await onReleaseRequested(releasing(commit, base, repository), tools()));

/** The same for a task that has ended: nothing but a report is asked for. */
export const reporting = (
  outcome: 'failed' | 'cancelled',
  reason: string,
  commit: string | null,
  base: string | null,
  repository: string | null = null,
) => {
  const payload = {
    ...releasing(commit ?? base ?? '', base ?? '', repository).payload,
    outcome,
    reason,
    commit,
    base_commit: base,
  };
  return message('release.requested', payload);
};
export const reportOn = async (...of: Parameters<typeof reporting>) => {
  answer('release.finished', await onReleaseRequested(reporting(...of), tools()));
  const { markdown = '', json = '{}' } = hashes.get(keys.report(task)) ?? {};
  return { markdown, json: JSON.parse(json) };
};

/** A commit in the hub, under a ref of its own. */
export const work = async (files: Record<string, string>, onto: string, ref = 'refs/nexus/x/1'): Promise<string> => {
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
export const personal = async (): Promise<string> => {
  const folder = join(home, 'their repository');
  await mkdir(folder);
  git(folder, 'init', '-q', '-b', 'main');
  await writeFile(join(folder, 'README.md'), 'theirs\n');
  git(folder, 'add', '-A');
  git(folder, 'commit', '-qm', 'first');
  return folder;
};

export const subtask = (more: Partial<Subtask>): Subtask =>
  subtaskOf('build', { title: 'Build it', state: 'merged', attempt: 2, sent_back: 1, ended_at: at, ...more });

/** The ledger as it stands when a release is asked for; `null` for the base: the repository never came to be. */
export const record = (base: string | null, ...subtasks: Subtask[]): void => {
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
    status: head.status,
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

/** Its board is completed: what was merged goes to its release. */
export const complete = (): void => {
  const now = hashes.get(keys.board(task)) ?? {};
  hashes.set(keys.board(task), {
    ...now,
    head: JSON.stringify({ ...JSON.parse(now.head ?? '{}'), outcome: 'completed' }),
  });
};

/** The orchestrator ends the task. */
export const end = (status: TaskHead['status'], more: Partial<TaskHead> = {}): void => {
  const now = hashes.get(keys.task(task)) ?? {};
  const head = JSON.stringify({ ...JSON.parse(now.head ?? '{}'), ...more, status });
  hashes.set(keys.task(task), { ...now, status, head });
};
