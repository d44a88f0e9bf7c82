/**
 * A schedule rang. What was asked for and lost with a deleted stream is asked for again (`lost-orders.ts`).
 *
 * And it complains of running attempts whose work was not saved for too long. Their workers promised how often they
 * would; twice that is overdue. A crash then costs more than it should, so somebody has to look.
 */
import { done, type Handler, type HandlerTools } from '@nexus/shared/bus';
import { readAttempt } from '@nexus/shared/ledger';
import type { RunningAttempt } from '@nexus/shared/messages/domain';
import { findLostOrders } from './lost-orders.ts';

/** What the audit is given beside the fabric's own tools. */
export type AuditTools = {
  /** The attempts that living workers say they run. */
  running(): Promise<readonly RunningAttempt[]>;
  /** Says how many were found overdue. */
  countOverdue(count: number): void;
  /** How long a stream that was made again is left alone; for tests. */
  restMs?: number;
};

type Overdue = { task: string; subtask: string; attempt: number; agent: string; seconds: number };

export const onAuditDue: Handler<'audit.due', AuditTools> = async (_message, tools) => {
  const lost = await findLostOrders(tools, tools.restMs);
  if (lost.publish.length > 0)
    tools.log.warn({ orders: lost.publish.length }, 'What waited in a deleted stream of Redis is asked for again');
  await complain(tools);
  return done(lost);
};

const complain = async (tools: HandlerTools & AuditTools): Promise<void> => {
  const looked = await Promise.all((await tools.running()).map((one) => lookAt(one, tools)));
  const overdue = looked.filter((one) => one !== null);
  tools.countOverdue(overdue.length);
  if (overdue.length === 0) return;
  tools.log.warn({ overdue }, 'Checkpoints of running attempts are overdue');
  for (const { task, subtask, attempt, agent, seconds } of overdue) {
    const ids = { task_id: task, subtask_id: subtask, attempt, agent_id: agent };
    tools.tell({ event: 'attempt.notice', ...ids, text: `its work was not saved for ${seconds} s` });
  }
};

const lookAt = async (one: RunningAttempt, { store, keys, now }: HandlerTools): Promise<Overdue | null> => {
  const { running, checkpoint } = await readAttempt(store, keys, one.task_id, one.subtask_id);
  // What another delivery saved says nothing of this one, and what has ended has nothing to save.
  if (running === null || running.attempt !== one.attempt) return null;
  const saved = checkpoint?.token === running.token ? checkpoint.at : running.since;
  const sinceMs = now() - Date.parse(saved);
  if (sinceMs <= 2 * running.every_ms) return null;
  const { task_id: task, subtask_id: subtask, attempt, agent_id: agent } = one;
  return { task, subtask, attempt, agent, seconds: Math.round(sinceMs / 1000) };
};
