/**
 * Whether an agent makes progress: judged by what it prints and what changes in its folder, never by what it says of
 * itself. Times are those of the attempt's own clock, so that a paused machine makes nobody stuck.
 */
import type { ErrorCode } from '@nexus/shared/errors';

export type StuckLimits = {
  /** Neither a changed file, a new commit nor a new line for so long; 0: never. */
  afterMs: number;
  /** No output at all for so long; 0: never. */
  silentMs: number;
  /** The same output, or the same few lines in turn, so many times over with nothing changed; 0: never. */
  repeats: number;
};

export type StuckWatch = {
  /** The agent printed this. */
  heard(text: string, atMs: number): void;
  /** A file or a commit of the folder changed. */
  changed(atMs: number): void;
  /** It was told something: it has the whole time again. */
  told(atMs: number): void;
  /** Why it is stuck: part of a sentence; null if it is not. */
  look(atMs: number): string | null;
};

export const stuckCode: ErrorCode = 'AGENT_STUCK';

/** A cycle of so many lines is still seen as the same again and again. */
const cycleMax = 6;

/** Opens the watch over an agent that starts at `atMs`. */
export const openStuckWatch = (limits: StuckLimits, atMs: number): StuckWatch => {
  let progressAt = atMs;
  let heardAt = atMs;
  let rest = '';
  let lines: string[] = [];
  const keptMax = Math.max(1, limits.repeats) * cycleMax;
  return {
    heard: (text, at) => {
      heardAt = at;
      const parts = (rest + text).split('\n');
      rest = (parts.pop() ?? '').slice(-lineMax);
      for (const line of parts.map(shapeOf).filter((part) => part !== '')) {
        if (!lines.slice(-cycleMax).includes(line)) progressAt = at;
        lines.push(line);
      }
      lines = lines.slice(-keptMax);
    },
    changed: (at) => {
      progressAt = at;
      lines = [];
    },
    told: (at) => {
      progressAt = at;
      heardAt = at;
      lines = [];
    },
    look: (at) => {
      const cycle = limits.repeats > 0 ? cycleOf(lines, limits.repeats) : null;
      if (cycle !== null) return `the same output ${limits.repeats} times over, with no file changed: ${cycle}`;
      if (limits.silentMs > 0 && at - heardAt >= limits.silentMs) {
        return `no output for ${seconds(at - heardAt)} s`;
      }
      if (limits.afterMs > 0 && at - progressAt >= limits.afterMs) {
        return `no new commit, changed file or new output for ${seconds(at - progressAt)} s`;
      }
      return null;
    },
  };
};

const lineMax = 2000;

/** Only what is the same to the letter counts as the same: a counter that grows is progress. */
const shapeOf = (line: string): string => line.trim().slice(0, lineMax);

/** The lines that repeat so many times at the end, shortened; null if none do. */
const cycleOf = (lines: readonly string[], repeats: number): string | null => {
  for (let length = 1; length <= cycleMax; length += 1) {
    const needed = length * repeats;
    if (lines.length < needed) return null;
    const end = lines.slice(-needed);
    if (end.every((line, index) => line === end[index % length])) return end.slice(0, length).join(' / ').slice(0, 200);
  }
  return null;
};

const seconds = (ms: number): number => Math.round(ms / 1000);
