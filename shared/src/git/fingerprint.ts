/** Whether anything in a clone has changed since one looked last: cheap, and without touching its index. */
import { createHash } from 'node:crypto';
import { lstat } from 'node:fs/promises';
import { join } from 'node:path';
import { git, partsOf, runGit } from './run-git.ts';

/** So many changed files are looked at one by one; beyond that their number and names have to do. */
const filesMax = 1000;

/**
 * A text that stays the same as long as nothing was committed and no file that counts was made, changed or removed.
 * What the clone excludes does not count.
 */
export const fingerprint = async (folder: string, signal?: AbortSignal): Promise<string> => {
  const at = { clone: folder };
  const [head, status] = await Promise.all([
    git(['rev-parse', 'HEAD'], { at, signal }),
    runGit(['status', '--porcelain', '-z', '--untracked-files=all', '--no-renames'], { at, signal }),
  ]);
  const entries = partsOf(status.stdout);
  const hash = createHash('sha256').update(`${head}\0${status.stdout}`);
  for (const entry of entries.slice(0, filesMax)) {
    const found = await lstat(join(folder, entry.slice(3))).catch(() => null);
    hash.update(found === null ? '-' : `${found.size} ${found.mtimeMs}\0`);
  }
  return hash.digest('hex');
};
