/** What this worker runs right now, as it tells it with its beat: one line per attempt, with what it does. */
import type { RunningAttempt } from '@nexus/shared/messages/domain';

export type Running = {
  /** Puts an attempt on the list; `doing` says what it does now, `end` takes it off. */
  begin(attempt: Omit<RunningAttempt, 'doing'>): {
    doing(what: string): void;
    /** Its processes were ended, and it starts no more; these outlived even that. */
    dead(survivors: number[]): void;
    end(): void;
  };
  /** How many on the list have no process any more. */
  deadCount(): number;
};

type Told = { running: RunningAttempt[]; survivors: number[] };

/** Opens the list; `present` hands it to the beat. */
export const openRunning = (present: (part: Told) => void): Running => {
  const attempts = new Set<RunningAttempt>();
  const dead = new Map<RunningAttempt, number[]>();
  const tell = () => present({ running: [...attempts], survivors: [...dead.values()].flat() });
  return {
    begin: (given) => {
      const attempt: RunningAttempt = { ...given, doing: 'begins' };
      attempts.add(attempt);
      tell();
      return {
        doing: (what) => {
          attempt.doing = what.replaceAll(/\s+/g, ' ').trim().slice(0, 300);
          tell();
        },
        dead: (survivors) => {
          dead.set(attempt, survivors);
          tell();
        },
        end: () => {
          attempts.delete(attempt);
          dead.delete(attempt);
          tell();
        },
      };
    },
    deadCount: () => dead.size,
  };
};
