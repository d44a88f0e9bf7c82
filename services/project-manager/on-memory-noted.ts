/**
 * Something is worth remembering: it goes into the memories of its project, or of its agent. It is kept under the name
 * of its attempt, so a second delivery keeps nothing new.
 */
import { done, type Handler } from '@nexus/shared/bus';
import { readTask } from '@nexus/shared/ledger';
import { agentScope, contentCharsMax, type Memories, type MemoryKind, projectScope } from '@nexus/shared/memory';
import { onAccount } from '@nexus/shared/spend';
import type { Tools } from './transition.ts';

export type MemoryTools = { memories: Memories };

export const onMemoryNoted: Handler<'memory.noted', Tools & MemoryTools> = async ({ payload }, tools) => {
  const { task_id, subtask_id, attempt, agent_id, about, tags, importance } = payload;
  const kind: MemoryKind = about === 'ended' || about === 'returned' ? 'digest' : 'lesson';
  const task = await readTask(tools.store, tools.keys, task_id);
  const repository = task?.request.repository ?? null;
  // Subtasks of a workflow are all called alike: what a task is about, its title says.
  const content = `${task ? `${task.head.title}: ` : ''}${payload.content}`.slice(0, contentCharsMax);
  // What one agent did belongs to it. What was learned belongs to the project, for whoever works there next; without a
  // repository there is no project to come back to.
  const scope = kind === 'lesson' && repository !== null ? projectScope(repository) : agentScope(agent_id);
  const key = `${task_id}/${subtask_id}/${attempt}/${about}`;
  const at = new Date(tools.now()).toISOString();
  const source = { kind, by: agent_id, task_id, subtask_id, attempt, at };
  try {
    const memory = { scope, content, tags, importance, source, key };
    const account = { taskId: task_id, budget: task?.request.budget };
    const { id, how } = await onAccount(account, () => tools.memories.remember(memory));
    tools.log.debug({ memory: id, how, scope }, 'Remembered');
  } catch (thrown) {
    // At maxmemory all that drains comes first: a memory is not worth a message that goes round until there is room.
    if (!(thrown instanceof Error) || !/^OOM\b/.test(thrown.message)) throw thrown;
    tools.log.warn({ subtask: subtask_id }, 'Not remembered: Redis is at its memory limit');
  }
  return done();
};
