/**
 * A picture on the terminal that is redrawn in place.
 *
 * `draw` replaces the picture; `leave` draws the last one and gives the cursor back. Between the two,
 * nobody else may write to the terminal.
 */
import type { Sink } from './output.ts';

export type Live = { draw(lines: string[]): void; leave(lines?: string[]): void };

const hideCursor = '\u001b[?25l';
const showCursor = '\u001b[?25h';
const eraseToEndOfLine = '\u001b[K';
const eraseBelow = '\u001b[J';

export const openLive = (sink: Sink): Live => {
  let height = 0;
  let last = '';
  const draw = (lines: string[]) => {
    const picture = lines.map((line) => `${line}${eraseToEndOfLine}\n`).join('');
    if (picture === last) return;
    last = picture;
    const up = height === 0 ? '' : `\u001b[${height}F`;
    sink.write(`${hideCursor}${up}${picture}${eraseBelow}`);
    height = lines.length;
  };
  return {
    draw,
    leave: (lines) => {
      if (lines) draw(lines);
      if (height > 0) sink.write(showCursor);
      height = 0;
    },
  };
};
