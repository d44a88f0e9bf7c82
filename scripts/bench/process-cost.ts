/** What a running process costs, as Linux tells it. */
import { readdirSync, readFileSync } from 'node:fs';

/**
 * Memory in MB (10^6 bytes). `pss` shares what processes have in common fairly; `own` is what its end would free;
 * `anonymous` is what it wrote, also while a child that it just forked shares that for a moment.
 */
export type Memory = { pss: number; own: number; anonymous: number };

/** https://docs.kernel.org/filesystems/proc.html: /proc/<pid>/smaps_rollup, in kB of 1024 bytes. */
export const memoryOf = (pid: number): Memory => readMemory(readFileSync(`/proc/${pid}/smaps_rollup`, 'utf8'));

export const readMemory = (rollup: string): Memory => {
  const mb = (name: string): number =>
    (Number(new RegExp(`^${name}:\\s+(\\d+) kB`, 'm').exec(rollup)?.[1] ?? Number.NaN) * 1024) / 1e6;
  return { pss: mb('Pss'), own: mb('Private_Clean') + mb('Private_Dirty'), anonymous: mb('Anonymous') };
};

/** CPU time of a process so far, in ms: user and system, in steps of ten. */
export const cpuMsOf = (pid: number): number => readCpuMs(readFileSync(`/proc/${pid}/stat`, 'utf8'));

/** proc_pid_stat(5): fields 14 and 15, in hundredths of a second; the name before them may hold blanks and brackets. */
export const readCpuMs = (stat: string): number => {
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return (Number(fields[11]) + Number(fields[12])) * 10;
};

export type Descendant = { pid: number; name: string };

/** Every process that descends from this one. proc_pid_stat(5): its name is the second field, its parent the fourth. */
export const descendantsOf = (root: number): Descendant[] => {
  const rows = readdirSync('/proc').flatMap((pid) => (/^\d+$/.test(pid) ? rowOf(Number(pid)) : []));
  const ours = new Set([root]);
  for (let size = 0; size !== ours.size; ) {
    size = ours.size;
    for (const { pid, parent } of rows) if (ours.has(parent)) ours.add(pid);
  }
  return rows.filter(({ pid }) => pid !== root && ours.has(pid)).map(({ pid, name }) => ({ pid, name }));
};

/** Nothing for a process that has just ended. */
const rowOf = (pid: number): (Descendant & { parent: number })[] => {
  try {
    const [, name = '', parent = ''] = /\((.*)\) \S+ (\d+)/s.exec(readFileSync(`/proc/${pid}/stat`, 'utf8')) ?? [];
    return [{ pid, name, parent: Number(parent) }];
  } catch {
    return [];
  }
};
