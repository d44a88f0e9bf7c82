/**
 * What tests of the gate stand on: a hub of their own for every test, real commands, and the bus's tools made by hand.
 * A test file that imports it has it from its first test on.
 */
import { execFileSync } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { readdirSync } from 'node:fs';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { keysOf, type LiveEvent, type Message, type Outcome } from '@nexus/shared/bus';
import { createHub, hubPath, refs } from '@nexus/shared/git';
import { catalog, type PayloadOf } from '@nexus/shared/messages';
import { listMarked } from '@nexus/shared/process';
import { silentLog } from '@nexus/shared/telemetry';
import { afterEach, beforeEach, expect, vi } from 'vitest';
import { loadChecks } from '../../services/quality-checker/define-check.ts';
import { onCandidateSubmitted } from '../../services/quality-checker/on-candidate-submitted.ts';

type Tools = Parameters<typeof onCandidateSubmitted>[1];
type Verdict = PayloadOf<'verdict.reached'>;
type Files = Record<string, string | null>;

export const task = 'try-it-abc123';
export const names = refs(task);
export const definitions = await loadChecks();
/** Test files run side by side: each finds the processes of its own gates. */
export const checker = `checker-${randomUUID().slice(0, 8)}`;
export let home = '';
export let work = '';
export let hub = '';
export let base = '';
export let deliveries = 0;
export let events: LiveEvent[] = [];

beforeEach(async () => {
  home = await mkdtemp(join(tmpdir(), 'nexus-gate-'));
  work = join(home, 'work');
  hub = hubPath(home, task);
  base = (await createHub({ hub, repository: null, base: null })).baseCommit;
  git(home, 'clone', '-q', hub, work);
  git(work, 'fetch', '-q', 'origin', names.integration);
  events = [];
});
afterEach(() => rm(home, { recursive: true, force: true, maxRetries: 3 }));
// Each gate runs some thirty programs; on a busy machine several of them take their time.
vi.setConfig({ testTimeout: 90_000 });

export const git = (folder: string, ...args: string[]): string =>
  execFileSync('git', ['-c', 'user.name=T', '-c', 'user.email=t@t', ...args], {
    cwd: folder,
    encoding: 'utf8',
    stdio: 'pipe',
  }).trim();

/** Commits files (null: deleted) onto a commit, and pushes it to a ref of the hub. */
export const commit = async (files: Files, onto = base, ref = 'refs/nexus/x/attempt'): Promise<string> => {
  git(work, 'checkout', '-q', '--force', '--detach', onto);
  for (const [path, text] of Object.entries(files)) {
    if (text === null) await rm(join(work, path));
    else {
      await mkdir(dirname(join(work, path)), { recursive: true });
      await writeFile(join(work, path), text);
    }
  }
  git(work, 'add', '-A');
  git(work, 'commit', '-qm', 'work');
  git(work, 'push', '-q', '--force', hub, `HEAD:${ref}`);
  return git(work, 'rev-parse', 'HEAD');
};

/** The head of integration now holds these files. */
export const integrate = async (files: Files): Promise<void> => {
  base = await commit(files, base, names.integration);
};

export const toolsFor = (signal: AbortSignal = new AbortController().signal): Tools => ({
  log: silentLog(),
  signal,
  now: () => Date.now(),
  claim: { instanceId: checker, token: `${checker}-${++deliveries}`, epoch: 1 },
  keys: keysOf('{test}'),
  store: null as never,
  begin: async () => {},
  checkpoint: async () => {},
  tell: (event) => void events.push(event),
  config: {
    home,
    slots: 1,
    checkTimeoutMs: 60_000,
    setupTimeoutMs: 60_000,
    checkOutputMax: 1_000_000,
    checkLogMax: 100_000,
    diskReserve: 0,
  } as Tools['config'],
  definitions,
  sandbox: null,
  redact: (text) => text.replaceAll('hunter2', '(redacted)'),
  sweep: () => undefined,
});

let messages = 0;

/** A message of its own, unless its id is given. */
export const submitted = (
  payload: Partial<PayloadOf<'candidate.submitted'>>,
  messageId = `message-${++messages}`,
): Message<'candidate.submitted'> =>
  ({
    message_id: messageId,
    timestamp: '2026-01-02T03:04:05.000Z',
    payload: {
      task_id: task,
      subtask_id: 'part',
      attempt: 1,
      title: 'A part',
      kind: 'code',
      commit: base,
      integration: base,
      setup: null,
      checks: [],
      before: null,
      allowed_red: [],
      ...payload,
    },
  }) as Message<'candidate.submitted'>;

/** What the outcome publishes, as the catalog reads it. */
export const verdictOf = (outcome: Outcome): Verdict => {
  if (outcome.is !== 'done') throw new Error(`it was ${outcome.is}`);
  return catalog['verdict.reached'].payload.parse(outcome.publish[0]?.payload);
};

export const gate = async (
  payload: Partial<PayloadOf<'candidate.submitted'>>,
  messageId?: string,
): Promise<Verdict> => {
  const verdict = verdictOf(await onCandidateSubmitted(submitted(payload, messageId), toolsFor()));
  expect(checkouts()).toEqual([]);
  return verdict;
};

/** What lies among the gates beside the manifest that keeps them apart. */
export const checkouts = (): string[] => readdirSync(join(home, 'gates')).filter((name) => name !== 'package.json');

export const nodeTest = (...tests: [name: string, body: string][]): string =>
  `import { test } from 'node:test';\nimport assert from 'node:assert';\n` +
  `${tests.map(([name, body]) => `test('${name}', () => { ${body} });`).join('\n')}\n`;
export const good = 'assert.ok(true);';
export const bad = 'assert.equal(1, 2);';
export const npmProject = (scripts: Record<string, string>, more: object = {}): string =>
  JSON.stringify({ name: 'p', version: '1.0.0', type: 'module', scripts, ...more });

/** `base` as an import cannot be set from outside: the next candidates are merged onto this commit. */
export const setBase = (commit: string): void => {
  base = commit;
};

/** The processes of the last delivery that still run. */
export const survivors = (): number[] =>
  listMarked()
    .filter(({ mark }) => mark === `{test}.${checker}-${deliveries}`)
    .map(({ pid }) => pid);
