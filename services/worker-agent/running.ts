/** What this worker runs right now, as it tells it with its beat: one line per attempt, with what it does. */
import type { RunningAttempt } from '@nexus/shared/messages/domain';

export type Running = {
  /** Puts an attempt on the list; `doing` says what it does now, `end` takes it off. */
  begin(attempt: Omit<RunningAttempt, 'doing'>): { doing(what: string): void; end(): void };
};

/** Opens the list; `present` hands it to the beat. */
export const openRunning = (present: (part: { running: RunningAttempt[] }) => void): Running => {
  const attempts = new Set<RunningAttempt>();
  const tell = () => present({ running: [...attempts] });
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
        end: () => {
          attempts.delete(attempt);
          tell();
        },
      };
    },
  };
};
