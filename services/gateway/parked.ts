/** What waits for its time, and what an attempt that was put aside waits for: joined from the park and the ledger. */
import { readAttempt } from '@nexus/shared/ledger';
import { z } from 'zod';
import type { Fleet } from './fleet.ts';

export type Parked = {
  id: string;
  type: string;
  task_id: string | null;
  subtask_id: string | null;
  attempt: number | null;
  until: string;
  waits_for?: string | null;
};
/** An attempt that was put aside: its worker has given it back, and the board still has it as at work. */
export type PutAside = { subtask_id: string; attempt: number | null; until: string; waits_for: string };

/** So many of what waits are looked through for attempts; beyond that one is shown as the board has it. */
const lookedMax = 500;

/** The next of what waits for its time, with what it waits for. */
export const readParked = async (bus: Fleet['bus'], limit: number): Promise<Parked[]> =>
  withReasons(bus, await readRows(bus, limit));

/** In the park a message stands behind the inbox that it goes to. */
const readRows = async ({ store, keys }: Fleet['bus'], limit: number): Promise<Parked[]> => {
  const due = await store.readIndex(keys.due, { limit });
  const ids = due.map(({ member }) => member);
  const texts = ids.length === 0 ? [] : await store.readFields(keys.parked, ids);
  return due.flatMap(({ member: id, score }, at) => {
    const text = texts[at] ?? null;
    const read = parkedMessage.safeParse(text === null ? null : parsed(text.slice(text.indexOf(' ') + 1)));
    if (!read.success) return [];
    const { type, conversation_thread, payload } = read.data;
    const { task_id = conversation_thread || null, subtask_id = null, attempt = null } = payload;
    return [{ id, type, task_id, subtask_id, attempt, until: new Date(score).toISOString() }];
  });
};

const withReasons = ({ store, keys }: Fleet['bus'], rows: readonly Parked[]): Promise<Parked[]> =>
  Promise.all(
    rows.map(async (row) => {
      const { type, task_id, subtask_id } = row;
      if (type !== 'subtask.dispatched' || task_id === null || subtask_id === null) return row;
      const { checkpoint } = await readAttempt(store, keys, task_id, subtask_id);
      return { ...row, waits_for: checkpoint?.waits ?? null };
    }),
  );

/** Whoever follows a task asks again and again: the park is read once for all who ask within so long. */
const freshMs = 500;
const latest = new WeakMap<Fleet['bus'], { atMs: number; rows: Promise<Parked[]> }>();

const readSoon = (bus: Fleet['bus']): Promise<Parked[]> => {
  const known = latest.get(bus);
  if (known !== undefined && performance.now() - known.atMs < freshMs) return known.rows;
  const rows = readRows(bus, lookedMax);
  latest.set(bus, { atMs: performance.now(), rows });
  rows.catch(() => latest.delete(bus));
  return rows;
};

/** The attempts of these tasks that were put aside, by task, the next first. */
export const readPutAside = async (bus: Fleet['bus'], taskIds: readonly string[]): Promise<Map<string, PutAside[]>> => {
  const found = new Map<string, PutAside[]>();
  if (taskIds.length === 0) return found;
  const isWanted = ({ type, task_id }: Parked): boolean =>
    type === 'subtask.dispatched' && task_id !== null && taskIds.includes(task_id);
  const rows = await withReasons(bus, (await readSoon(bus)).filter(isWanted));
  for (const { task_id, subtask_id, attempt, until, waits_for } of rows) {
    if (task_id === null || subtask_id === null || !waits_for) continue;
    found.set(task_id, [...(found.get(task_id) ?? []), { subtask_id, attempt, until, waits_for }]);
  }
  return found;
};

const parkedMessage = z.object({
  type: z.string(),
  conversation_thread: z.string().default(''),
  payload: z
    .object({ task_id: z.string().optional(), subtask_id: z.string().optional(), attempt: z.int().optional() })
    .catch({}),
});

const parsed = (text: string): unknown => {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
};
