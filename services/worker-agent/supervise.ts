/**
 * Watches over a running agent: its time box, whether it makes progress, and when its work is worth saving.
 *
 *   watching ──stuck──▶ nudged (once, where the runtime can) ──stuck again──▶ ended: AGENT_STUCK
 *      │  └─── something changes, or is said ───┘
 *      └──the box is used up──▶ ended: AGENT_TIMED_OUT
 *
 * It ends an agent by aborting a signal, whose reason is the code; what the next rung is (a new attempt from the
 * checkpoint, another agent, a person) is the board's to decide.
 */
import { fail } from '@nexus/shared/errors';
import { openStuckWatch, type StuckLimits } from './stuck.ts';
import { openTimeBox } from './time-box.ts';

export type Supervision = {
  /** Aborts when the outer signal does, or when a limit is reached. */
  signal: AbortSignal;
  /** The agent printed this. */
  heard(text: string): void;
  /** What the attempt has used of its box, in milliseconds. */
  spentMs(): number;
  close(): void;
};

export type SuperviseOptions = {
  boxMs: number;
  /** What earlier deliveries of this attempt have used of it. */
  spentMs: number;
  stuck: StuckLimits;
  /** How often the folder is looked at. */
  watchEveryMs: number;
  /** Changed work is saved when the agent has been quiet for so long, but not more often than `saveEveryMs`. */
  quietMs: number;
  saveEveryMs: number;
  signal: AbortSignal;
  /** A text that stays the same while nothing in the folder changes. */
  look(): Promise<string>;
  save(): Promise<unknown>;
  /** Tells the agent; null where its runtime cannot. */
  nudge: ((text: string) => Promise<void>) | null;
  /** Tells observers. */
  notice(text: string, data: { percent?: number; stuck?: string }): void;
  onTrouble(thrown: unknown): void;
};

/** A tick has to be short beside the shortest limit. */
const tickMsMax = 1000;

export const supervise = (options: SuperviseOptions): Supervision => {
  const { boxMs, stuck, watchEveryMs, notice, onTrouble } = options;
  const ended = new AbortController();
  const tickMs = Math.max(10, Math.min(tickMsMax, boxMs / 20, watchEveryMs));
  const box = openTimeBox({ boxMs, spentMs: options.spentMs, tickMs, nowMs: performance.now() });
  const watch = openStuckWatch(stuck, box.spentMs());
  let heardAt = box.spentMs();
  let nudged = false;

  const tell = (text: string): void => void options.nudge?.(text).catch(onTrouble);
  const tickOnce = (): void => {
    for (const percent of box.tick(performance.now())) {
      const text = `${percent} % of the time box of ${minutes(boxMs)} minutes are used`;
      notice(text, { percent });
      if (percent < 100) tell(`${text}. Come to an end in time: what is not done then is ended.`);
      else ended.abort(fail('AGENT_TIMED_OUT', { minutes: minutes(boxMs) }));
    }
    const why = watch.look(box.spentMs());
    if (why === null || ended.signal.aborted) return;
    if (options.nudge === null || nudged) ended.abort(fail('AGENT_STUCK', { why }));
    else tell(`You seem to be stuck (${why}). Try another way, or report what you have and end.`);
    notice(nudged || options.nudge === null ? `is ended: ${why}` : `was nudged: ${why}`, { stuck: why });
    nudged = true;
    watch.told(box.spentMs());
  };
  const folder = watchFolder(options, { onChange: () => watch.changed(box.spentMs()), heardAt: () => heardAt, box });
  const timers = [setInterval(tickOnce, tickMs), setInterval(folder.look, watchEveryMs)];
  for (const timer of timers) timer.unref();
  return {
    signal: AbortSignal.any([options.signal, ended.signal]),
    heard: (text) => {
      heardAt = box.spentMs();
      watch.heard(text, heardAt);
    },
    spentMs: () => Math.round(box.spentMs()),
    close: () => {
      for (const timer of timers) clearInterval(timer);
    },
  };
};

type Watched = { onChange(): void; heardAt(): number; box: { spentMs(): number } };

/** Looks at the folder, one look at a time, and saves what changed when it is a good moment. */
const watchFolder = (options: SuperviseOptions, { onChange, heardAt, box }: Watched): { look(): void } => {
  let last: string | null = null;
  let looking = false;
  let unsaved = false;
  let savedAt = box.spentMs() - options.saveEveryMs;
  const lookOnce = async (): Promise<void> => {
    const now = await options.look();
    if (last !== null && now !== last) {
      onChange();
      unsaved = true;
    }
    last = now;
    const at = box.spentMs();
    const isGood = at - heardAt() >= options.quietMs && at - savedAt >= options.saveEveryMs;
    if (!unsaved || !isGood) return;
    unsaved = false;
    savedAt = at;
    await options.save();
  };
  return {
    look: () => {
      if (looking || options.signal.aborted) return;
      looking = true;
      void lookOnce()
        .catch(options.onTrouble)
        .finally(() => {
          looking = false;
        });
    },
  };
};

const minutes = (ms: number): number => Math.round((ms / 60_000) * 100) / 100;
