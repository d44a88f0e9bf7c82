/**
 * Ending agent processes on this machine, without Redis and without a gateway: by the marks in their environment.
 *
 * Several fleets may share a machine. A mark is of this fleet if it begins with its hash tag, or if a process that
 * bears it works below this NEXUS_HOME.
 */
import { existsSync, readlinkSync, realpathSync } from 'node:fs';
import { sep } from 'node:path';
import { endMarked, listMarked, type MarkedProcess } from '@nexus/shared/process';

export type EndedHere = { ended: string[]; survivors: number[] };

/** Ends every marked process of the fleet; tells which marks there were and what survived. */
export const endHere = async (fleet: { home: string; prefix: string }): Promise<EndedHere> => {
  const ended = marksOf(fleet, listMarked(), workingFolder);
  const survivors = await Promise.all(ended.map((mark) => endMarked(mark, { graceMs: 1000 })));
  return { ended, survivors: survivors.flat() };
};

/** The marks among these processes that belong to the fleet. */
export const marksOf = (
  { home, prefix }: { home: string; prefix: string },
  processes: readonly MarkedProcess[],
  folderOf: (pid: number) => string | null,
): string[] => {
  const below = `${existsSync(home) ? realpathSync(home) : home}${sep}`;
  const isOurs = ({ pid, mark }: MarkedProcess): boolean =>
    mark.startsWith(prefix) || (folderOf(pid)?.startsWith(below) ?? false);
  return [...new Set(processes.filter(isOurs).map(({ mark }) => mark))];
};

/** Linux only; elsewhere nobody tells, and the hash tag decides. */
const workingFolder = (pid: number): string | null => {
  try {
    return readlinkSync(`/proc/${pid}/cwd`);
  } catch {
    return null;
  }
};
