/**
 * What a task leaves in the home of this machine: clones of its agents, and of gates whose checker was killed. Those
 * on other machines are swept by the services there.
 */
import { readdir, readFile, rm, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { hubLocation } from '@nexus/shared/git';
import { outputOf } from './release.ts';

/** Removes it. Nothing of another task is touched, nor what does not say whose it is. */
export const removeLeftovers = async (home: string, taskId: string): Promise<void> => {
  await remove(join(home, 'workspaces', taskId));
  const gates = join(home, 'gates');
  for (const name of await readdir(gates).catch(() => [])) {
    const task = await readFile(join(gates, name, 'task'), 'utf8').catch(() => null);
    if (task === taskId) await remove(join(gates, name));
  }
};

/** No fetch takes so long: what has been in the making since then was left by a process that was killed. */
const halfMadeAfterMs = 3_600_000;

/** Removes hubs and repositories that were left half made, or half removed. Returns their folders. */
export const sweepHalfMade = async (
  config: { home: string; hubs?: string | undefined; output?: string | undefined },
  now: number,
): Promise<string[]> => {
  const removed: string[] = [];
  for (const folder of new Set([dirname(hubLocation(config, 'any')), dirname(outputOf(config, 'any'))])) {
    for (const name of await readdir(folder).catch(() => [])) {
      if (!/\.(?:making|leaving)-[0-9a-f-]{36}$/.test(name)) continue;
      const made = await stat(join(folder, name)).catch(() => null);
      if (made === null || now - made.mtimeMs < halfMadeAfterMs) continue;
      await remove(join(folder, name));
      removed.push(join(folder, name));
    }
  }
  return removed;
};

const remove = (folder: string): Promise<void> => rm(folder, { recursive: true, force: true, maxRetries: 3 });
