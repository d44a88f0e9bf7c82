/** Plays one board step by step, in the words of its story: `finish('build', …)`, `pass('build')`, `merge('build')`. */
import assert from 'node:assert/strict';
import type { FollowUp } from '@nexus/shared/bus';
import type { Kind, PayloadOf } from '@nexus/shared/messages';
import type { BoardHead, Subtask } from '@nexus/shared/messages/domain';
import type { BoardMessage } from '../../services/project-manager/board.ts';
import type { Rules } from '../../services/project-manager/config.ts';
import {
  assertReadable,
  attemptBegun,
  attemptFinished,
  check,
  commitOf,
  type MemoryOptions,
  mergeFinished,
  type NodeGiven,
  openMemoryLedger,
  planAccepted,
  taskFacts,
  verdictReached,
} from './board.ts';

export type PlayOptions = {
  mode?: 'parallel' | 'sequential';
  rules?: Partial<Rules>;
  capacity?: number;
  runtimes?: readonly string[];
  chance?: () => number;
  /** Slots that other tasks hold. */
  others?: Record<string, number>;
} & Pick<MemoryOptions, 'routing' | 'running'>;

export type Play = ReturnType<typeof play>;

/** Accepts a plan of these nodes; what was published first is `play.published`. */
export const play = (nodes: readonly NodeGiven[], options: PlayOptions = {}) => {
  const taskId = 'task';
  const ledger = openMemoryLedger(options);
  ledger.tasks.set(taskId, taskFacts);
  for (const [id, held] of Object.entries(options.others ?? {})) ledger.load.set(id, held);
  const now = Date.parse('2026-01-02T03:04:05Z');
  const published: FollowUp[] = [];

  const tell = (message: BoardMessage): FollowUp[] => {
    const said = ledger.deliver(message, now);
    const board = ledger.boards.get(taskId);
    if (board) assertReadable(board);
    published.push(...said);
    return said;
  };
  const part = (id: string): Subtask => ledger.boards.get(taskId)?.subtasks.get(id) ?? assert.fail(`no subtask ${id}`);
  const head = (): BoardHead => ledger.boards.get(taskId)?.head ?? assert.fail('no board');
  const of = (id: string, attempt = part(id).attempt) => ({ task_id: taskId, subtask_id: id, attempt });
  const last = <K extends Kind>(type: K, id?: string): PayloadOf<K> => {
    const found = published.findLast(
      (one) => one.type === type && (!id || (one.payload as { subtask_id?: string }).subtask_id === id),
    );
    return (found ?? assert.fail(`no ${type} was published`)).payload as PayloadOf<K>;
  };
  const finish = (id: string, fields: Partial<PayloadOf<'attempt.finished'>> = {}, attempt?: number) => {
    const commit = part(id).kind === 'report' ? null : commitOf(`${id}${part(id).attempt}`);
    return tell(attemptFinished(of(id, attempt), { commit, ...fields }));
  };
  /** The wait of a parked subtask is over. */
  const resume = (id: string): FollowUp[] =>
    tell({ type: 'backoff.elapsed', payload: { task_id: taskId, subtask_id: id, attempt: part(id).attempt } });
  const verdict = (id: string, fields: Partial<PayloadOf<'verdict.reached'>>) =>
    tell(verdictReached(of(id), { base: head().integration, ...fields }));
  const pass = (id: string, fields: Partial<PayloadOf<'verdict.reached'>> = {}) =>
    verdict(id, { verdict: 'passed', tested_commit: commitOf(`tested ${id}`), checks: [check()], ...fields });
  const merge = (id: string, fields: Partial<PayloadOf<'merge.finished'>> = {}) =>
    tell(mergeFinished(of(id), { outcome: 'merged', commit: commitOf(`tested ${id}`), ...fields }));

  tell(planAccepted(taskId, nodes, options.mode));
  return {
    taskId,
    ledger,
    published,
    tell,
    part,
    head,
    of,
    last,
    finish,
    resume,
    /** An attempt fails, and whatever wait follows is over. */
    fail: (id: string, fields: Partial<PayloadOf<'attempt.finished'>> = {}): void => {
      finish(id, { outcome: 'failed', code: 'AGENT_FAILED', says: 'It failed.', commit: null, ...fields });
      if (part(id).state === 'parked') resume(id);
    },
    /** The orchestrator answers the escalation that stands. */
    answer: (id: string, answer: 'plan' | 'person' | 'retry', more: Partial<PayloadOf<'escalation.answered'>> = {}) =>
      tell({
        type: 'escalation.answered',
        payload: {
          ...{ task_id: taskId, subtask_id: id, number: part(id).escalations, answer, subtasks: [], says: '' },
          ...more,
        },
      }),
    verdict,
    pass,
    merge,
    begin: (id: string, attempt?: number) => tell(attemptBegun(of(id, attempt))),
    /** From the attempt's end into integration. */
    bringIn: (id: string): void => {
      finish(id);
      pass(id);
      merge(id);
    },
    state: (id: string) => part(id).state,
    /** The subtasks whose messages of a kind were published, in order, with their attempts. */
    said: (type: Kind): string[] =>
      published.flatMap((one) => {
        const { subtask_id, attempt } = one.payload as { subtask_id?: string; attempt?: number };
        return one.type === type ? [`${subtask_id}-${attempt}`] : [];
      }),
  };
};
