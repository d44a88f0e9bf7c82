/**
 * Orphans: agents of an earlier life of a worker, found by their marks and ended by them, and nothing else.
 *
 * A mark names the claim under which its attempt ran, and a process says from which home it came. It is an orphan if
 * it is of this home and fabric, and that claim is lost: settled, given back, or taken over by somebody who runs the
 * work anew. What another worker runs now, on this machine too, has a claim that stands. Under STOP nobody takes over,
 * so that the claims of the dead stand until RESUME: what runs under them is an orphan, too.
 */
import { resolve } from 'node:path';
import { endMarked, listMarked, type MarkedProcess } from '@nexus/shared/process';

export type Orphans = { ended: string[]; survivors: number[] };

/** Ends the orphans of a home. */
export const endOrphans = async (options: {
  home: string;
  prefix: string;
  mayRun(token: string): Promise<boolean>;
  graceMs?: number;
}): Promise<Orphans> => {
  const orphans: Orphans = { ended: [], survivors: [] };
  for (const [mark, token] of marksOf(options, listMarked())) {
    if (await options.mayRun(token)) continue;
    orphans.survivors.push(
      ...(await endMarked(mark, { graceMs: options.graceMs ?? 1000, home: resolve(options.home) })),
    );
    orphans.ended.push(mark);
  }
  return orphans;
};

/** The mark of every process of an attempt. */
export const markOf = (
  prefix: string,
  ids: { task_id: string; subtask_id: string; attempt: number },
  token: string,
): string => `${prefix}.${ids.task_id}.${ids.subtask_id}.${ids.attempt}.${token}`;

/** The attempts of a home and fabric among these processes: how many agents the machine holds. */
export const marksOf = (
  { home, prefix }: { home: string; prefix: string },
  processes: readonly MarkedProcess[],
): Map<string, string> => {
  const ours = processes.filter((one) => one.home === resolve(home) && one.mark.startsWith(`${prefix}.`));
  const marks = ours.flatMap(({ mark }) => {
    const token = /^[^.]+\.[^.]+\.\d+\.(.+)$/.exec(mark.slice(prefix.length + 1))?.[1];
    return token === undefined ? [] : [[mark, token] as const];
  });
  return new Map(marks);
};
