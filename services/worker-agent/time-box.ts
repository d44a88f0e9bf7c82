/**
 * The time that an attempt has really had, and what it has left of its box.
 *
 * Only time in which its worker ran counts: it is counted in ticks, and a tick that took much longer than it should
 * means that this process was paused, or the machine was asleep; of such a jump one tick counts (rule 22).
 */

/** Of the box, in percent: at which point the agent and observers are told. */
export const notices = [50, 80, 100] as const;

export type TimeBox = {
  /** Counts the time since the last tick; returns the notices that are due now, in order. */
  tick(nowMs: number): number[];
  /** What was used so far, earlier deliveries of the attempt included. */
  spentMs(): number;
};

/** A box of which an earlier delivery has used `spentMs`; notices that were due then are not given again. */
export const openTimeBox = (options: { boxMs: number; spentMs: number; tickMs: number; nowMs: number }): TimeBox => {
  const { boxMs, tickMs } = options;
  let spent = options.spentMs;
  let last = options.nowMs;
  // The last notice is the end itself: that one is given however much was used before.
  const due: number[] = notices.filter((percent) => percent === 100 || spent < (boxMs * percent) / 100);
  return {
    tick: (nowMs) => {
      const elapsed = Math.max(0, nowMs - last);
      last = nowMs;
      spent += elapsed > jumpFactor * tickMs ? tickMs : elapsed;
      const now = due.filter((percent) => spent >= (boxMs * percent) / 100);
      due.splice(0, now.length);
      return now;
    },
    spentMs: () => spent,
  };
};

/** A tick that took so many times as long was no tick of a running process. */
const jumpFactor = 5;
