/** Tasks: submit, list, look, cancel, delete. */
import {
  shownStatus,
  subtaskDetail,
  type TaskDetail,
  type TaskShort,
  taskAccepted,
  taskDetail,
  taskEnding,
  taskList,
  taskRetried,
} from '@nexus/shared/client/api';
import { fail } from '@nexus/shared/errors';
import { hubLocation } from '@nexus/shared/git';
import {
  listTasks,
  readBoard,
  readBoardHead,
  readBoardParts,
  readReport,
  readTask,
  readTaskStatus,
} from '@nexus/shared/ledger';
import {
  type BoardHead,
  endedTask,
  subtaskId,
  type TaskStatus,
  taskId,
  taskRequest,
  taskStatus,
} from '@nexus/shared/messages/domain';
import { z } from 'zod';
import { setAside } from '../at-work.ts';
import type { Api, Fleet } from '../fleet.ts';
import { refusal } from '../openapi.ts';
import { readPutAside } from '../parked.ts';
import { doingOf, showAccepted, showShort, showTask, waitingOf } from '../show-task.ts';
import { spendingOf, sumOf } from '../spending.ts';
import { submit } from '../submit.ts';

export const ofTask = z.strictObject({ id: taskId });

export const taskRoutes = (app: Api, fleet: Fleet): void => {
  addSubmitting(app, fleet);
  addReading(app, fleet);
  addRetrying(app, fleet);
  addEnding(app, fleet);
};

const addSubmitting = (app: Api, fleet: Fleet): void => {
  app.post(
    '/api/tasks',
    {
      config: { scope: 'operate' },
      schema: {
        operationId: 'submitTask',
        tags: ['tasks'],
        summary: 'Ask for something',
        headers: z.object({
          'idempotency-key': z.string().min(1).max(200).optional().meta({
            description: 'The same key with the same body, within 24 hours, is the same task; with another body 422.',
          }),
        }),
        body: taskRequest,
        response: { 202: taskAccepted },
      },
    },
    async ({ body, headers, actor }, reply) => {
      const accepted = await submit(fleet, body, { actor, idempotencyKey: headers['idempotency-key'] });
      return reply.code(202).header('location', accepted.tracking_url).send(accepted);
    },
  );
};

const addReading = (app: Api, fleet: Fleet): void => {
  app.get(
    '/api/tasks',
    {
      config: { scope: 'read' },
      schema: {
        operationId: 'listTasks',
        tags: ['tasks'],
        summary: 'All tasks, newest first',
        querystring: z.strictObject({
          limit: z.coerce.number().int().min(1).max(200).default(50),
          offset: z.coerce.number().int().min(0).max(10_000_000).default(0),
          status: shownStatus.optional(),
          waiting: z.stringbool().optional().meta({ description: 'yes: only those that wait for a person.' }),
        }),
        response: { 200: taskList },
      },
    },
    ({ query }) => readTasks(fleet, query),
  );

  app.get(
    '/api/tasks/:id',
    {
      config: { scope: 'read' },
      schema: {
        operationId: 'showTask',
        tags: ['tasks'],
        summary: 'Where a task stands',
        params: ofTask,
        response: { 200: taskDetail, 404: refusal(404) },
      },
    },
    ({ params }) => readDetail(fleet, params.id),
  );

  app.get(
    '/api/tasks/:id/subtasks/:subtask',
    {
      config: { scope: 'read' },
      schema: {
        operationId: 'showSubtask',
        tags: ['tasks'],
        summary: 'Everything that is kept of one subtask',
        params: z.strictObject({ id: taskId, subtask: subtaskId }),
        response: { 200: subtaskDetail, 404: refusal(404) },
      },
    },
    async ({ params: { id, subtask } }) => {
      const { store, keys } = fleet.bus;
      const [board, presences, aside] = await Promise.all([
        readBoardParts(store, keys, id, [subtask]),
        fleet.bus.presences(),
        readPutAside(fleet.bus, [id]),
      ]);
      const found = board?.subtasks.get(subtask);
      if (!found) throw board ? fail('SUBTASK_UNKNOWN', { task: id, subtask }) : fail('TASK_UNKNOWN', { task: id });
      return { ...setAside(presences, id, found, aside.get(id) ?? []), doing: doingOf(presences, id, found) };
    },
  );
};

/** A person's answer to a task that waits for one. */
const addRetrying = (app: Api, { bus }: Fleet): void => {
  app.post(
    '/api/tasks/:id/retry',
    {
      config: { scope: 'operate' },
      schema: {
        operationId: 'retryTask',
        tags: ['tasks'],
        summary: 'Let a task that waits for a person try again',
        description: `Only asks for it: events, and the task itself, tell when it goes on. Without \`subtask_id\`
everything that waits is tried again.`,
        params: ofTask,
        body: z
          .strictObject({
            subtask_id: subtaskId.optional(),
            note: z.string().min(1).max(2000).optional().meta({ description: 'What the agent is told.' }),
          })
          .optional(),
        response: { 202: taskRetried, 404: refusal(404), 409: refusal(409) },
      },
    },
    async ({ params: { id }, body: { subtask_id, note = '' } = {}, actor }, reply) => {
      const task = await readTask(bus.store, bus.keys, id);
      if (task === null) {
        if (await bus.accepted(id)) throw fail('TASK_NOT_WAITING', { task: id, state: 'it is accepted' });
        throw fail('TASK_UNKNOWN', { task: id });
      }
      const waits = waitingOf(task.head).map((wait) => wait.subtask_id);
      const meant = waits.filter((waiting) => subtask_id === undefined || waiting === subtask_id);
      if (meant.length === 0) {
        const others = waits.length === 0 ? '' : `, and waits for a person about ${waits.join(', ')}`;
        const about = subtask_id === undefined ? 'it' : `subtask ${subtask_id} does not wait; the task`;
        throw fail('TASK_NOT_WAITING', { task: id, state: `${about} is ${task.head.status}${others}` });
      }
      const payload = { task_id: id, subtask_id: subtask_id ?? null, answer: 'retry' as const, note };
      await bus.publish({ type: 'person.answered', payload, thread: id, actor, priority: 'HIGH' });
      return reply.code(202).send({ task_id: id, status: 'retrying', subtasks: meant });
    },
  );
};

/** The two ways to end a task. Both only ask for it: the orchestrator does it, and events tell when. */
const addEnding = (app: Api, fleet: Fleet): void => {
  app.post(
    '/api/tasks/:id/cancel',
    {
      config: { scope: 'operate' },
      schema: {
        operationId: 'cancelTask',
        tags: ['tasks'],
        summary: 'Cancel a task that has not ended',
        params: ofTask,
        body: z.strictObject({ reason: z.string().min(1).max(500).optional() }).optional(),
        response: { 202: taskEnding, 404: refusal(404), 409: refusal(409) },
      },
    },
    async ({ params: { id }, body, actor }, reply) => {
      const status = await knownStatus(fleet, id);
      if (status !== 'unread' && endedTask(status)) throw fail('TASK_ENDED', { task: id, status });
      await fleet.bus.publish({
        type: 'cancellation.requested',
        payload: { task_id: id, reason: body?.reason ?? `Cancelled by ${actor}.` },
        thread: id,
        actor,
        priority: 'CRITICAL',
        // Not to overtake the task itself on its way to the orchestrator.
        ...(status === 'unread' ? { delayMs: 1000 } : {}),
      });
      return reply.code(202).send({ task_id: id, status: 'cancelling' });
    },
  );

  app.delete(
    '/api/tasks/:id',
    {
      config: { scope: 'admin' },
      schema: {
        operationId: 'deleteTask',
        tags: ['tasks'],
        summary: 'Delete an ended task, with all that belongs to it',
        params: ofTask,
        response: { 202: taskEnding, 404: refusal(404), 409: refusal(409) },
      },
    },
    async ({ params: { id }, actor }, reply) => {
      const status = await knownStatus(fleet, id);
      if (status === 'unread' || !endedTask(status)) {
        throw fail('TASK_RUNNING', { task: id, status: status === 'unread' ? 'accepted' : status });
      }
      await fleet.bus.publish({ type: 'deletion.requested', payload: { task_id: id }, thread: id, actor });
      // A hold on it would lie there for ever.
      const { scopes } = await fleet.bus.control.read();
      if (scopes[`task:${id}`] !== undefined) await fleet.bus.control.command('RESUME_ALL', { task: id }, actor);
      // Nobody could replay them any more. What dies while the task goes is shown again.
      await fleet.bus.dead.sweep('drop', { task: id }, actor, Number.POSITIVE_INFINITY);
      return reply.code(202).send({ task_id: id, status: 'deleting' });
    },
  );
};

/** The stored status; `unread` while the orchestrator has not read the request. Throws `TASK_UNKNOWN`. */
export const knownStatus = async ({ bus }: Fleet, id: string): Promise<TaskStatus | 'unread'> => {
  const status = await readTaskStatus(bus.store, bus.keys, id);
  if (status !== null) return status;
  if (await bus.accepted(id)) return 'unread';
  throw fail('TASK_UNKNOWN', { task: id });
};

/** It waits for a person, or somebody has a question that nobody has answered. */
const asksPerson = ({ waiting, questions = [] }: TaskShort): boolean =>
  waiting.length > 0 || questions.some(({ answer }) => answer === null);

const readDetail = async (fleet: Fleet, id: string): Promise<TaskDetail> => {
  const { bus, config } = fleet;
  const { store, keys } = bus;
  const [task, board, control, presences, report] = await Promise.all([
    readTask(store, keys, id),
    readBoard(store, keys, id),
    bus.control.read(),
    bus.presences(),
    readReport(store, keys, id),
  ]);
  if (task !== null) {
    // A hub that has expired has nothing to fetch any more: its report says so, by the same mark.
    const isExpired = Boolean((report?.json as { evidence_expired_at?: string } | undefined)?.evidence_expired_at);
    const { book, budgets } = spendingOf(fleet);
    const [lines, budget, aside] = await Promise.all([
      book.linesOf(id),
      budgets.read({ taskId: id }),
      readPutAside(bus, mayWait(board?.head.counts) ? [id] : []),
    ]);
    const money = { spent: sumOf(lines), budget };
    const hub = isExpired ? null : hubLocation(config, id);
    const left = { hub, hasReport: report !== null, aside: aside.get(id) ?? [], ...money };
    return showTask(task, board, control, presences, left);
  }
  const acceptedAt = await readAcceptedAt(bus, id);
  if (acceptedAt === null) throw fail('TASK_UNKNOWN', { task: id });
  return showAccepted(id, acceptedAt, control);
};

/** When the edge took a task that the orchestrator has not read: its message's id, a uuid v7, holds the time. */
const readAcceptedAt = async ({ store, keys }: Fleet['bus'], id: string): Promise<string | null> => {
  const messageId = await store.readText(keys.seen(`task:${id}`));
  return messageId && new Date(Number.parseInt(messageId.replaceAll('-', '').slice(0, 12), 16)).toISOString();
};

/** Only what a worker has, or is to get, can have been put aside. */
const mayWait = (counts: BoardHead['counts'] = {}): boolean => (counts.working ?? 0) + (counts.ready ?? 0) > 0;

type Listing = {
  limit: number;
  offset: number;
  status?: TaskShort['status'] | undefined;
  waiting?: boolean | undefined;
};
/** So many tasks are looked at for one page, at most; a rare status is found over several pages. */
const scannedMax = 2000;

const readTasks = async ({ bus }: Fleet, { limit, offset, status, waiting = false }: Listing) => {
  const { store, keys } = bus;
  const control = await bus.control.read();
  const stored = taskStatus.safeParse(status).data;
  const open = waiting || status === 'stopped' || (stored !== undefined && !endedTask(stored));
  const tasks: TaskShort[] = [];
  let at = offset;
  while (tasks.length < limit && at - offset < scannedMax) {
    const page = await listTasks(store, keys, { limit: Math.min(100, limit), offset: at, open });
    const read = await Promise.all(
      page.map(async ({ task_id: id }) => {
        const [task, board] = await Promise.all([readTask(store, keys, id), readBoardHead(store, keys, id)]);
        return { id, task, board: board?.head ?? null };
      }),
    );
    const waits = read.filter(({ board }) => mayWait(board?.counts)).map(({ id }) => id);
    const aside = await readPutAside(bus, waits);
    for (const { id, task: known, board } of read) {
      const task = known && showShort(known.head, board, control, aside.get(id));
      if (tasks.length === limit) break;
      at += 1;
      if (task === null || (waiting && !asksPerson(task))) continue;
      if (status === undefined || task.status === status) tasks.push(task);
    }
    if (page.length < Math.min(100, limit)) return { tasks, next_offset: null };
  }
  return { tasks, next_offset: at };
};
