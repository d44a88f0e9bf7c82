/**
 * Whether the result of a task could be pushed to a repository on this machine: git's own folders are asked, before any
 * work is done. In containers all services run as one user, to whom a person's folder need not be open.
 */
import { access, constants } from 'node:fs/promises';
import { join } from 'node:path';
import { fail } from '@nexus/shared/errors';
import { git } from './run-git.ts';

/** What a push writes into. */
const written = ['objects', 'objects/pack', 'refs/heads', 'refs/heads/nexus'];

/**
 * Throws `REPOSITORY_READONLY` where this user may not write. True: it may; false: its disk is mounted so that nobody
 * here can, which is wanted where only somebody else writes.
 */
export const mayWrite = async (repository: string, signal?: AbortSignal): Promise<boolean> => {
  const args = ['-C', repository, 'rev-parse', '--path-format=absolute', '--git-common-dir'];
  const folder = await git(args, { at: { nowhere: repository }, signal });
  for (const path of written) {
    const place = join(folder, path);
    const code = await access(place, constants.W_OK | constants.X_OK).then(
      () => null,
      (error: NodeJS.ErrnoException) => error.code,
    );
    if (code === 'EROFS') return false;
    if (code === 'EACCES' || code === 'EPERM') {
      const uid = process.getuid?.() ?? 'unknown';
      const mend = `Let it: setfacl -R -m u:${uid}:rwX,d:u:${uid}:rwX on ${folder} (in containers, on the host)`;
      throw fail('REPOSITORY_READONLY', { folder: place, uid, mend });
    }
  }
  return true;
};
