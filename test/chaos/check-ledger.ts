/** The ledger: every task that was accepted is there, once, has ended, and says what git says. */
import type { Redis } from 'ioredis';
import { checkHub, git, gitOrNull, type Hub, hubFolder, readHub } from './check-git.ts';
import type { Look } from './checker.ts';
import { explains } from './explained.ts';

export type SeenTask = {
  id: string;
  status: string;
  /** Its reason, what it waits for, and what befell the subtasks that are not done last. */
  reason: string;
  result: { branch: string | null; commit: string | null; repository: string | null } | null;
  integration: string | null;
  subtasks: Map<string, { state: string; merged_commit: string | null; attempt: number; history: Entry[] }>;
};
type Entry = { outcome: string; commit: string | null; says: string };

const ended = ['completed', 'failed', 'cancelled'];

export const readTasks = async (redis: Redis, prefix: string): Promise<SeenTask[]> => {
  const ids = await redis.zrange(`${prefix}:tasks`, '0', '-1');
  return Promise.all(
    ids.map(async (id) => {
      const [task, board] = await Promise.all([
        redis.hgetall(`${prefix}:task:${id}`),
        redis.hgetall(`${prefix}:board:${id}`),
      ]);
      const head = parsed<{ reason?: string | null }>(task.head);
      const waits = JSON.stringify((head as { waiting?: unknown } | null)?.waiting ?? '');
      const parts = Object.entries(board).filter(([field]) => field.startsWith('s:'));
      return {
        id,
        status: task.status ?? 'missing',
        reason: [head?.reason ?? '', waits, ...parts.map(([, text]) => troubleOf(JSON.parse(text)))].join(' '),
        result: parsed<SeenTask['result']>(task.result),
        integration: parsed<{ integration: string }>(board.head)?.integration ?? null,
        subtasks: new Map(parts.map(([field, text]) => [field.slice(2), JSON.parse(text)])),
      };
    }),
  );
};

const troubleOf = ({ state, reason, history }: { state: string; reason: string | null; history: Entry[] }): string =>
  ['merged', 'reported'].includes(state) ? '' : [reason ?? '', history.at(-1)?.says ?? ''].join(' ');

const parsed = <T>(text: string | undefined): T | null => (text === undefined ? null : (JSON.parse(text) as T));

export const checkLedger = async (redis: Redis, look: Look, tasks: readonly SeenTask[]): Promise<string[]> => {
  const { prefix, asked } = look;
  const known = new Set(tasks.map(({ id }) => id));
  const open = await redis.zrange(`${prefix}:tasks:open`, '0', '-1');
  const waiting = await redis.zrange(`${prefix}:tasks:waiting`, '0', '-1');
  const slots = Object.entries(await redis.hgetall(`${prefix}:load`));
  const statusOf = new Map(tasks.map(({ id, status }) => [id, status]));
  return [
    ...[...asked.keys()].filter((id) => !known.has(id)).map((id) => `task ${id} was accepted and is lost`),
    ...tasks.filter(({ id }) => !asked.has(id)).map(({ id }) => `task ${id} is there though nobody asked for it`),
    ...open
      .filter((id) => statusOf.get(id) !== 'waiting_for_person')
      .map((id) => `task ${id} is listed as open, and is ${statusOf.get(id)}`),
    ...waiting
      .filter((id) => statusOf.get(id) !== 'waiting_for_person')
      .map((id) => `task ${id} is listed as waiting for a person, and is ${statusOf.get(id)}`),
    ...slots
      .filter(([id]) => ended.includes(statusOf.get(id) ?? ''))
      .map(([id, held]) => `task ${id} has ended and still holds ${held} slots`),
    ...tasks.flatMap((task) => checkTask(task, look)),
    ...tooFew(tasks),
  ];
};

/** Faults may explain the end of a task here and there. A fleet of which much else fails does not do its work. */
const tooFew = (tasks: readonly SeenTask[]): string[] => {
  const completed = tasks.filter(({ status }) => status === 'completed').length;
  const least = Math.floor(0.95 * tasks.length);
  return completed < least ? [`${completed} of ${tasks.length} tasks are completed; at least ${least} have to be`] : [];
};

const checkTask = (task: SeenTask, look: Look): string[] => {
  const of = `task ${task.id}`;
  if (task.status !== 'waiting_for_person' && !ended.includes(task.status))
    return [`${of} has not ended: ${task.status}`];
  const excused = task.status === 'completed' || explains(task.reason, look.counts);
  const unexplained = excused ? [] : [`${of} is ${task.status}, and no fault explains it: ${task.reason}`];
  const hub = readHub(look.home, task.id);
  if (hub === null) return task.status === 'completed' ? [...unexplained, `${of} has no hub`] : unexplained;
  return [
    ...unexplained,
    ...checkHub(look.home, task.id, hub),
    ...checkBoard(task, hub),
    ...(task.status === 'completed' ? checkResult(task, hub, look) : []),
  ];
};

/** The board's merged subtasks are git's markers, commit by commit, and the board knows of each gate. */
const checkBoard = ({ id, status, integration, subtasks }: SeenTask, hub: Hub): string[] => {
  const of = `task ${id}:`;
  const found: string[] = [];
  if (status === 'completed' && integration !== hub.integration) {
    found.push(`${of} the board says integration is ${integration}, git says ${hub.integration}`);
  }
  for (const [subtask, { state, merged_commit, history }] of subtasks) {
    const marker = hub.markers.get(subtask) ?? null;
    // A task that was ended from outside may have had a merge under way, which git then knows alone.
    if (state === 'merged' && marker !== merged_commit) {
      found.push(`${of} ${subtask} is merged as ${merged_commit}, its marker says ${marker}`);
    }
    if (state !== 'merged' && marker !== null && status === 'completed') {
      found.push(`${of} ${subtask} has a marker, and is ${state}`);
    }
    const gated = history.some(({ outcome, commit }) => outcome === 'gate_passed' && commit === merged_commit);
    if (state === 'merged' && !gated) found.push(`${of} the ledger knows no gate that passed ${subtask}`);
    if (status === 'completed' && state !== 'merged' && state !== 'reported' && state !== 'cancelled') {
      found.push(`${of} is completed, and ${subtask} is ${state}`);
    }
  }
  return found;
};

/** The result is integration, lies where the ledger says, and holds what was asked for. */
const checkResult = ({ id, result, subtasks }: SeenTask, hub: Hub, { home, asked }: Look): string[] => {
  const of = `task ${id}:`;
  const wanted = asked.get(id);
  const found: string[] = [];
  if (result?.commit !== hub.integration)
    found.push(`${of} its result is ${result?.commit}, integration ${hub.integration}`);
  const branch = `refs/heads/${result?.branch ?? `nexus/${id}`}`;
  const pushed = result?.repository ? gitOrNull(result.repository, 'rev-parse', branch) : null;
  if (pushed !== hub.integration) found.push(`${of} its branch is ${pushed}, integration ${hub.integration}`);
  for (const subtask of wanted?.code ?? []) {
    if (!hub.markers.has(subtask)) found.push(`${of} ${subtask} was never merged`);
  }
  for (const subtask of hub.markers.keys()) {
    if (!subtasks.has(subtask)) found.push(`${of} ${subtask} was merged, and the board does not know it`);
  }
  for (const [path, text] of Object.entries(wanted?.files ?? {})) {
    const held = gitOrNull(hubFolder(home, id), 'show', `${hub.integration}:${path}`);
    if (held !== text.trim()) found.push(`${of} ${path} is ${held === null ? 'missing' : 'not what was written'}`);
  }
  return found;
};

/** The commits of a person's own branch: nobody but the person moves it. */
export const headOf = (repository: string): string => git(repository, 'rev-parse', 'HEAD');
