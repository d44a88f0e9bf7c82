/**
 * The transcript of an attempt: everything an agent prints, redacted once, shown live, kept up to a limit.
 *
 * The first words after a pause go out at once. What follows is gathered until enough has come or some time has
 * passed, whichever is first, so that a flood makes few events. What is kept is the beginning and the end; what was cut
 * out in between is counted.
 */
import type { Redactor } from '@nexus/shared/telemetry';

export type Transcript = {
  /** Takes what the agent printed, as it printed it. */
  write(chunk: string): void;
  /** No more will come: lets the rest out. */
  end(): void;
  /** What is kept, redacted. */
  text(): string;
  /** The end of it. */
  tail(lengthMax: number): string;
};

/** An entry of the journal holds 2 kB. */
const pieceBytesMax = 1800;

/** Opens a transcript; `onPiece` gets redacted text of at most 1800 bytes, and small pieces every `everyMs` at most. */
export const openTranscript = (options: {
  redactor: Redactor;
  bytesMax: number;
  everyMs: number;
  onPiece: (text: string) => void;
}): Transcript => {
  const { redactor, everyMs, onPiece } = options;
  const safe = redactor.stream();
  const kept = openKept(options.bytesMax);
  let waiting = '';
  let timer: NodeJS.Timeout | undefined;
  let flushedAt = Number.NEGATIVE_INFINITY;
  const flush = (): void => {
    clearTimeout(timer);
    timer = undefined;
    flushedAt = performance.now();
    for (const piece of piecesOf(waiting)) onPiece(piece);
    waiting = '';
  };
  const add = (text: string): void => {
    if (text === '') return;
    kept.add(text);
    waiting += text;
    if (waiting.length >= pieceBytesMax) flush();
    else timer ??= setTimeout(flush, Math.max(0, flushedAt + everyMs - performance.now()));
  };
  return {
    write: (chunk) => add(safe.push(chunk)),
    end: () => {
      add(safe.end());
      flush();
    },
    text: kept.text,
    tail: (lengthMax) => kept.text().slice(-lengthMax),
  };
};

/** Keeps a quarter of the limit from the beginning, the rest from the end. */
const openKept = (bytesMax: number): { add(text: string): void; text(): string } => {
  const headMax = Math.floor(bytesMax / 4);
  const tailMax = bytesMax - headMax;
  let head = '';
  let tail = '';
  let cut = 0;
  return {
    add: (text) => {
      const fits = Math.max(0, headMax - head.length);
      head += text.slice(0, fits);
      tail += text.slice(fits);
      if (tail.length <= 2 * tailMax) return;
      cut += tail.length - tailMax;
      tail = tail.slice(-tailMax);
    },
    text: () => {
      const over = Math.max(0, tail.length - tailMax);
      const gone = cut + over;
      return gone === 0 ? head + tail : `${head}\n(… ${gone} characters cut out …)\n${tail.slice(over)}`;
    },
  };
};

const piecesOf = (text: string): string[] => {
  const pieces: string[] = [];
  let piece = '';
  let bytes = 0;
  for (const character of text) {
    const size = Buffer.byteLength(character);
    if (bytes + size > pieceBytesMax) {
      pieces.push(piece);
      piece = '';
      bytes = 0;
    }
    piece += character;
    bytes += size;
  }
  return piece === '' ? pieces : [...pieces, piece];
};
