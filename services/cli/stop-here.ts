/**
 * Ending agent processes on this machine, without Redis and without a gateway: by the marks in their environment.
 *
 * Several fleets may share a machine, and their hash tag, which is the same for all that did not set one. A mark is of
 * this fleet if a process that bears it says that it is of this NEXUS_HOME. Of those that say nothing, the folder in
 * which they work decides, and the hash tag where no folder can be read.
 */
import { existsSync, readlinkSync, realpathSync } from 'node:fs';
import { join, resolve, sep } from 'node:path';
import { endMarked, listMarked, type MarkedProcess } from '@nexus/shared/process';

export type EndedHere = { ended: string[]; survivors: number[] };

/** Ends every marked process of the fleet; tells which marks there were and what survived. */
export const endHere = async ({ home, prefix }: { home: string; prefix: string }): Promise<EndedHere> => {
  const marked = listMarked();
  const ended = marksOf({ home, prefix }, marked, workingFolder);
  const survivors = await Promise.all(
    ended.map((mark) => {
      const bearers = marked.filter((one) => one.mark === mark);
      const folder = bearers.map(({ pid }) => workspaceOf(home, workingFolder(pid))).find((one) => one !== null);
      return endMarked(mark, { graceMs: 1000, folder: folder ?? undefined });
    }),
  );
  return { ended, survivors: [...new Set(survivors.flat())] };
};

/** The processes on this machine that bear a mark of the fleet. */
export const agentsHere = (fleet: { home: string; prefix: string }): number[] => {
  const marked = listMarked();
  const marks = new Set(marksOf(fleet, marked, workingFolder));
  return marked.filter(({ mark }) => marks.has(mark)).map(({ pid }) => pid);
};

/** The marks among these processes that belong to the fleet. */
export const marksOf = (
  { home, prefix }: { home: string; prefix: string },
  processes: readonly MarkedProcess[],
  folderOf: (pid: number) => string | null,
): string[] => {
  const own = realOf(home);
  const isOurs = ({ pid, mark, home: told }: MarkedProcess): boolean =>
    told ? realOf(told) === own : (isWithin(folderOf(pid), own) ?? mark.startsWith(prefix));
  return [...new Set(processes.filter(isOurs).map(({ mark }) => mark))];
};

/** Null where nobody tells. */
const isWithin = (folder: string | null, own: string): boolean | null =>
  folder === null ? null : folder === own || folder.startsWith(own + sep);

/** The workspace (`<home>/workspaces/<task>/<attempt>`) that somebody works in: it is one agent's alone. */
export const workspaceOf = (home: string, folder: string | null): string | null => {
  const all = join(realOf(home), 'workspaces') + sep;
  const [task, attempt] = folder?.startsWith(all) ? folder.slice(all.length).split(sep) : [];
  return task && attempt ? join(all, task, attempt) : null;
};

const realOf = (folder: string): string => (existsSync(folder) ? realpathSync(folder) : resolve(folder));

/** Linux only; elsewhere nobody tells, and the hash tag decides. */
const workingFolder = (pid: number): string | null => {
  try {
    return readlinkSync(`/proc/${pid}/cwd`);
  } catch {
    return null;
  }
};
