/**
 * Whether this process itself stood still: paused, without a processor, or busy in one go. By its own clock alone: what
 * it finds afterwards, overdue answers and closed connections, is then nobody else's fault.
 */
import type { Log } from '@nexus/shared/telemetry';

export type Standstill = {
  /** Looks at the clock; true while it is so short ago that it explains what is met. */
  lately(): boolean;
  close(): void;
};

type Options = {
  log: Pick<Log, 'warn'>;
  /** A pause of so long between two looks is one. */
  longMs: number;
  now?: () => number;
};

/** What was overdue is met at once, or with the next beat. */
const explainsMs = 3000;

export const watchStandstill = ({ log, longMs, now = () => performance.now() }: Options): Standstill => {
  let looked = now();
  let endedAt = Number.NEGATIVE_INFINITY;
  const look = (): void => {
    const at = now();
    const stoodMs = at - looked;
    looked = at;
    if (stoodMs < longMs) return;
    endedAt = at;
    const seconds = Math.round(stoodMs / 1000);
    log.warn(
      { seconds, do: 'Where nobody paused it, look for a machine that sleeps or has too little processor.' },
      `This process stood still for ${seconds} s. What it held may have been taken over meanwhile`,
    );
  };
  const timer = setInterval(look, Math.min(500, longMs / 2));
  timer.unref();
  return {
    lately: () => {
      look();
      return now() - endedAt < explainsMs;
    },
    close: () => clearInterval(timer),
  };
};
