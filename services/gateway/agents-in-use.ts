/** Where an agent is planned for work that has not ended. */
import type { Bus } from '@nexus/shared/bus';
import { listTasks, readBoard } from '@nexus/shared/ledger';
import { endedSubtask } from '@nexus/shared/messages/domain';

const shownMax = 10;
const pageSize = 50;

/** The first open subtasks of an agent, as `task/subtask` with the role asked for; empty if nothing waits for it. */
export const openSubtasksOf = async (
  { store, keys }: Pick<Bus, 'store' | 'keys'>,
  id: string,
): Promise<{ at: string; role: string }[]> => {
  const found: { at: string; role: string }[] = [];
  for (let offset = 0; found.length < shownMax; offset += pageSize) {
    const tasks = await listTasks(store, keys, { open: true, limit: pageSize, offset });
    for (const { task_id } of tasks) {
      const board = await readBoard(store, keys, task_id);
      const parts = [...(board?.subtasks.values() ?? [])];
      found.push(
        ...parts.filter((part) => isPlanned(part, id)).map(({ id, role }) => ({ at: `${task_id}/${id}`, role })),
      );
    }
    if (tasks.length < pageSize) break;
  }
  return found.slice(0, shownMax);
};

const isPlanned = (part: { agent_id: string; state: Parameters<typeof endedSubtask>[0] }, id: string): boolean =>
  part.agent_id === id && !endedSubtask(part.state);
