/**
 * What a task leaves in the home of this machine: clones of its agents, and of gates whose checker was killed. Those
 * on other machines are swept by the services there.
 */
import { readdir, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';

/** Removes it. Nothing of another task is touched, nor what does not say whose it is. */
export const removeLeftovers = async (home: string, taskId: string): Promise<void> => {
  await remove(join(home, 'workspaces', taskId));
  const gates = join(home, 'gates');
  for (const name of await readdir(gates).catch(() => [])) {
    const task = await readFile(join(gates, name, 'task'), 'utf8').catch(() => null);
    if (task === taskId) await remove(join(gates, name));
  }
};

const remove = (folder: string): Promise<void> => rm(folder, { recursive: true, force: true, maxRetries: 3 });
