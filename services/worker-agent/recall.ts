/**
 * What of the memories fits an attempt: those of its agent, of its project, and of all; with where each comes from.
 *
 * Lessons about this very subtask are left out: the hand-over tells of them, and newer. An attempt goes on without
 * memories where Redis does not answer; nothing is done twice or lost by that.
 */
import { isConnectionError } from '@nexus/shared/bus';
import type { AgentDefinition } from '@nexus/shared/catalog';
import { agentScope, type Memories, type Memory, projectScope } from '@nexus/shared/memory';
import type { PayloadOf } from '@nexus/shared/messages';
import type { TaskRequest } from '@nexus/shared/messages/domain';
import { onAccount } from '@nexus/shared/spend';
import type { Log } from '@nexus/shared/telemetry';

/** A memory as a prompt shows it; each source is a phrase. */
export type Recalled = { id: string; text: string; sources: string[] };

type Order = Pick<
  PayloadOf<'subtask.dispatched'>,
  'task_id' | 'subtask_id' | 'title' | 'goal' | 'acceptance' | 'files'
>;

export type RecallTools = {
  /** Left out where nothing is remembered, as in tests of other things. */
  memories?: Memories;
  config: { memoryRecalled: number; memoryPromptChars: number; memoryFit: number };
  log: Log;
};

const requestMax = 2000;
const headMax = 200;

/** The memories that fit, the best first, as many as the settings allow; booked as used. */
export const recallFor = async (
  order: Order,
  agent: Pick<AgentDefinition, 'agent_id' | 'memory'>,
  request: Pick<TaskRequest, 'repository' | 'request' | 'budget'>,
  { memories, config, log }: RecallTools,
): Promise<Recalled[]> => {
  if (memories === undefined || config.memoryRecalled === 0) return [];
  const project = request.repository ? [projectScope(request.repository)] : [];
  try {
    const question = {
      scopes: [agentScope(agent.agent_id), ...project, 'shared'],
      // What the person asked for says more than the title of a step that every task has.
      about: `${headOf(request.request)} ${order.title}`,
      text: [request.request.slice(0, requestMax), order.goal, ...order.acceptance, ...order.files].join('\n'),
      limit: config.memoryRecalled,
      fit: config.memoryFit,
      where: (memory: Memory) => isFor(memory, order, agent),
    };
    const account = { taskId: order.task_id, budget: request.budget };
    const found = await onAccount(account, () => memories.recall(question));
    const recalled = within(
      found.map(({ memory }) => memory),
      config.memoryPromptChars,
    );
    await memories.used(recalled.map(({ id }) => id)).catch(unlessAway);
    return recalled.map((memory) => ({ id: memory.id, text: memory.content, sources: memory.sources.map(named) }));
  } catch (thrown) {
    unlessAway(thrown);
    log.debug({ err: thrown }, 'Nothing was recalled');
    return [];
  }
};

/** Redis is away, or at its memory limit: what was found is told all the same. */
const unlessAway = (thrown: unknown): void => {
  if (!isConnectionError(thrown)) throw thrown;
};

const headOf = (request: string): string => request.trim().split('\n', 1).join('').slice(0, headMax);

const isFor = ({ kind, sources }: Memory, order: Order, agent: Pick<AgentDefinition, 'memory'>): boolean => {
  if (kind === 'digest' && agent.memory?.conversation_retention === 'none') return false;
  return sources.some(({ task_id, subtask_id }) => task_id !== order.task_id || subtask_id !== order.subtask_id);
};

/** Those that have room together; a long one may make room for shorter ones after it. */
const within = (found: readonly Memory[], charsMax: number): Memory[] => {
  let left = charsMax;
  return found.filter(({ content }) => {
    if (content.length > left) return false;
    left -= content.length;
    return true;
  });
};

const named = ({ kind, by, task_id, subtask_id, attempt, at }: Memory['sources'][number]): string => {
  const where = task_id === null ? '' : `, task ${task_id}, subtask ${subtask_id}, attempt ${attempt}`;
  return `${kind} of ${by}${where}, ${at.slice(0, 10)}`;
};
