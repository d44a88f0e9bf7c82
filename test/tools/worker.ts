/**
 * What tests of the worker stand on: a real hub in a folder of its own, real runtimes and agents, and the bus's
 * tools as plain objects that write down what they were asked.
 */
import { execFileSync } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { type FollowUp, type HandlerTools, keysOf, type LedgerWrite, type LiveEvent } from '@nexus/shared/bus';
import { openCatalog } from '@nexus/shared/catalog';
import { fabricConfig, loadConfig } from '@nexus/shared/config';
import { fail } from '@nexus/shared/errors';
import { cloneAt, commitAll, createHub, hubPath, pushRef, refs } from '@nexus/shared/git';
import type { AgentQuestion, TaskRequest } from '@nexus/shared/messages/domain';
import { openRedactor, silentLog } from '@nexus/shared/telemetry';
import type { Order, WorkerTools } from '../../services/worker-agent/attempt.ts';
import { config } from '../../services/worker-agent/config.ts';
import { openRunning } from '../../services/worker-agent/running.ts';
import { loadRuntimes } from '../../services/worker-agent/runtimes.ts';
import { boardHeadOf, subtaskOf } from './task-head.ts';

export const taskId = 'a-task';
export const author = { name: 'Somebody', email: 'somebody@example.org' };

export type Rig = Awaited<ReturnType<typeof openRig>>;

/** A home with a hub that holds `files`, at `integration`. */
export const openRig = async (files: Record<string, string> = { 'README.md': 'A project.\n' }) => {
  const home = mkdtempSync(join(tmpdir(), 'nexus-worker-'));
  const hub = hubPath(home, taskId);
  const { folder, baseCommit, integration } = await templateOf(files);
  cpSync(folder, home, { recursive: true });
  const catalog = await openCatalog();
  const runtimes = await loadRuntimes();
  const ledger = new Map<string, Record<string, string>>();
  const claimed = new Set<string>();
  /** The task as the orchestrator would have written it. */
  const setTask = (request: Partial<TaskRequest>): void => {
    const at = '2026-01-01T00:00:00.000Z';
    const head = {
      task_id: taskId,
      title: 'A task',
      status: 'in_progress',
      reason: null,
      priority: 'NORMAL',
      mode: 'parallel',
      workflow: 'simple',
      created_at: at,
      updated_at: at,
      ended_at: null,
      deadline: null,
      repository: null,
      base: null,
      base_commit: baseCommit,
      warnings: [],
      actor: 'test',
    };
    ledger.set(keys.task(taskId), {
      revision: '1',
      status: 'in_progress',
      head: JSON.stringify(head),
      request: JSON.stringify({ request: 'Build something.', ...request }),
    });
  };

  setTask({});
  return {
    home,
    hub,
    integration,
    ledger,
    claimed,
    runtimes,
    /** The board is at this attempt of the subtask; an order says so itself. */
    setBoard: (...orders: Pick<Order, 'subtask_id' | 'attempt'>[]) => setBoard(ledger, orders),
    commitOn: (commit: string, changes: Record<string, string>) => commitOn(home, commit, changes),
    setTask,
    /** What its agents have asked, as the orchestrator writes it down. */
    setQuestions: (questions: AgentQuestion[]): void => {
      const fields = ledger.get(keys.task(taskId)) ?? {};
      ledger.set(keys.task(taskId), {
        ...fields,
        head: JSON.stringify({ ...JSON.parse(fields.head ?? '{}'), questions }),
      });
    },
    /** What git says in the hub. */
    git: (...args: string[]): string => execFileSync('git', args, { cwd: hub, encoding: 'utf8', stdio: 'pipe' }).trim(),
    /** An order that its board has just given. */
    order: (changes: Partial<Order> = {}): Order => {
      const order = orderAt(integration, changes);
      setBoard(ledger, [order]);
      return order;
    },
    tools: (settings: Record<string, string> = {}) =>
      toolsFor({
        ledger,
        claimed,
        catalog,
        runtimes,
        settings: { NEXUS_HOME: home, NEXUS_DISK_RESERVE: '0', ...settings },
      }),
    close: () => rmSync(home, { recursive: true, force: true }),
  };
};

type Template = { folder: string; baseCommit: string; integration: string };
const templates = new Map<string, Promise<Template>>();

/** Hubs with the same files are made once and copied: making one takes a dozen git commands. */
const templateOf = (files: Record<string, string>): Promise<Template> => {
  const name = JSON.stringify(files);
  const template = templates.get(name) ?? makeTemplate(files);
  templates.set(name, template);
  return template;
};

/** Removes what was made for all tests of a file: for `afterAll`. */
export const closeTemplates = async (): Promise<void> => {
  for (const template of templates.values()) rmSync((await template).folder, { recursive: true, force: true });
  templates.clear();
};

const makeTemplate = async (files: Record<string, string>): Promise<Template> => {
  const folder = mkdtempSync(join(tmpdir(), 'nexus-template-'));
  const { baseCommit } = await createHub({ hub: hubPath(folder, taskId), repository: null, base: null });
  const integration = await commitOn(folder, baseCommit, files);
  return { folder, baseCommit, integration };
};

let commits = 0;

/** Commits files on top of a commit of a home's hub, in a clone of its own, and returns the new commit. */
const commitOn = async (home: string, commit: string, changes: Record<string, string>): Promise<string> => {
  commits += 1;
  const hub = hubPath(home, taskId);
  const folder = mkdtempSync(join(tmpdir(), 'nexus-person-'));
  try {
    const clone = join(folder, 'clone');
    await cloneAt({ hub, folder: clone, commit });
    for (const [path, text] of Object.entries(changes)) {
      mkdirSync(dirname(join(clone, path)), { recursive: true });
      writeFileSync(join(clone, path), text);
    }
    const made = await commitAll(clone, { message: `Change ${commits}`, author });
    if (made.commit === null) throw new Error('nothing was changed');
    const ref = refs(taskId).wip('person', commits, 'test');
    await pushRef({ folder: clone, hub, commit: made.commit, ref, lease: null });
    return made.commit;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
};

const keys = keysOf('{test}');

const orderAt = (integration: string, changes: Partial<Order>): Order => ({
  task_id: taskId,
  subtask_id: 'storage',
  attempt: 1,
  agent_id: 'code_developer',
  role: 'developer',
  kind: 'code',
  title: 'The storage',
  goal: 'Write the storage.',
  acceptance: [],
  files: [],
  grows: false,
  time_box_minutes: 1,
  runtime: null,
  integration,
  inputs: [],
  hand_over: null,
  ...changes,
});

/** As much of a board as a worker looks at. */
const setBoard = (ledger: Parts['ledger'], orders: Pick<Order, 'subtask_id' | 'attempt'>[]): void => {
  const head = boardHeadOf(taskId, { dispatched: orders.map(({ subtask_id }) => subtask_id) });
  const parts = orders.map(({ subtask_id, attempt }) => subtaskOf(subtask_id, { state: 'working', attempt }));
  const fields = parts.map((part) => [`s:${part.id}`, JSON.stringify(part)]);
  ledger.set(keys.board(taskId), { revision: '1', head: JSON.stringify(head), ...Object.fromEntries(fields) });
};

type Parts = Pick<WorkerTools, 'catalog' | 'runtimes'> & {
  ledger: Map<string, Record<string, string>>;
  /** The tokens of claims that stand, beside that of the delivery itself. */
  claimed: Set<string>;
  settings: Record<string, string>;
};

const sessionsIn = (ledger: Parts['ledger']) =>
  [...ledger.keys()]
    .filter((key) => key.startsWith(keys.session('')))
    .map((key) => ({ member: key.slice(keys.session('').length), score: 0 }));

let deliveries = 0;

/** The tools of one delivery. `seen` is what the handler asked for; `stop` aborts it. */
const toolsFor = ({ ledger, claimed, catalog, runtimes, settings }: Parts) => {
  deliveries += 1;
  const abort = new AbortController();
  const seen = {
    begun: [] as FollowUp[],
    writes: [] as LedgerWrite[],
    events: [] as LiveEvent[],
    doing: [] as string[],
  };
  const listeners = new Set<(event: LiveEvent) => void>();
  const readFields = async (key: string, names: string[]) => names.map((name) => ledger.get(key)?.[name] ?? null);
  const tools: HandlerTools & WorkerTools = {
    log: silentLog(),
    signal: abort.signal,
    now: () => Date.now(),
    claim: { instanceId: 'worker-agent-test-1', token: `test-${process.pid}-${deliveries}`, epoch: 1 },
    keys,
    store: {
      readHash: async (key) => ledger.get(key) ?? {},
      readFields,
      readText: async () => null,
      // All sessions are young here.
      readIndex: async (key, { to } = {}) => (key === keys.sessions && to === undefined ? sessionsIn(ledger) : []),
    } as HandlerTools['store'],
    begin: async (publish = []) => {
      abort.signal.throwIfAborted();
      seen.begun.push(...publish);
    },
    checkpoint: async (writes) => {
      for (const write of writes) apply(ledger, write);
      seen.writes.push(...writes);
    },
    tell: (event) => {
      seen.events.push(event);
      for (const listener of listeners) listener(event);
    },
    config: loadConfig({ ...fabricConfig, ...config }, settings),
    catalog,
    runtimes,
    redactor: openRedactor(['the-secret-of-the-worker']),
    count: () => undefined,
    isClaimed: async (token) => claimed.has(token),
    running: openRunning(({ running }) => seen.doing.push(...running.map(({ doing }) => doing))),
  };
  /** Resolves with the first event that the agent's output, or another text, is seen in. */
  const until = (text: string): Promise<void> =>
    new Promise((resolve) => {
      if (seen.events.some((event) => event.text?.includes(text))) resolve();
      listeners.add((event) => event.text?.includes(text) && resolve());
    });
  return { tools, seen, until, stop: (reason = fail('STOPPED', { epoch: 2 })) => abort.abort(reason) };
};

const apply = (ledger: Parts['ledger'], write: LedgerWrite): void => {
  if (write.op !== 'patch') return;
  const document = ledger.get(write.key) ?? {};
  if (Number(document.revision ?? 0) !== write.revision) {
    throw fail('TRANSITION_ILLEGAL', { what: 'A checkpoint', id: write.key, from: 'one revision', to: 'another' });
  }
  const next: Record<string, string> = { ...document, ...write.set, revision: String(write.revision + 1) };
  for (const field of write.del ?? []) delete next[field];
  ledger.set(write.key, next);
};
