/**
 * What checkers that were killed left behind: the folder of a gate, with clones and all that was installed in them, and
 * processes that got away from their leash.
 *
 * A folder is named by its claim. Who holds that claim is at work in it, even if we do not hear of them; once it is
 * lost, whatever is decided there counts no more. What does not say which fabric it belongs to goes by age.
 */
import { readdir, readFile, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { endMarked } from '@nexus/shared/process';
import { fabricFile, gatesOf, markOf } from './candidate.ts';

/** No gate is in work for so long. */
const leftAfterMs = 24 * 3_600_000;

/** Removes it. Returns how many folders there were. */
export const sweepGates = async (options: {
  home: string;
  prefix: string;
  now: number;
  isClaimed(token: string): Promise<boolean>;
}): Promise<number> => {
  const { home, prefix, now } = options;
  let removed = 0;
  for (const token of await readdir(gatesOf(home)).catch(() => [])) {
    const folder = join(gatesOf(home), token);
    const made = await stat(folder).catch(() => null);
    if (!made?.isDirectory()) continue;
    const isOurs = (await readFile(join(folder, fabricFile), 'utf8').catch(() => null)) === prefix;
    const isLeft = isOurs ? !(await options.isClaimed(token)) : now - made.mtimeMs > leftAfterMs;
    if (!isLeft) continue;
    if (isOurs) await endMarked(markOf(prefix, token));
    await rm(folder, { recursive: true, force: true, maxRetries: 3 });
    removed += 1;
  }
  return removed;
};
