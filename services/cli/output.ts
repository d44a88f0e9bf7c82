/**
 * Where a command speaks: results on standard output, everything else on standard error.
 *
 * With `--json` a command prints exactly one JSON document on standard output and no words. Colours appear
 * on a terminal only, and never where NO_COLOR is set (https://no-color.org).
 */
import { stripVTControlCharacters } from 'node:util';

/** What is needed of `process.stdout`; a test gives its own. */
export type Sink = { write(text: string): unknown; isTTY?: boolean; columns?: number; rows?: number };

export type Colour = 'red' | 'green' | 'yellow' | 'blue' | 'dim' | 'bold';
export type Paint = (colour: Colour, text: string) => string;

export type Output = {
  json: boolean;
  /** Colours for standard output. */
  paint: Paint;
  /** Lines of a result; nothing with `--json`. */
  say(...lines: string[]): void;
  /** The document of a result; nothing without `--json`. */
  document(value: unknown): void;
  /** Lines about what is going on: standard error, always. */
  note(...lines: string[]): void;
  stdout: Sink;
  stderr: Sink;
};

export type OutputOptions = { json: boolean; colour: boolean; stdout: Sink; stderr: Sink };

export const openOutput = ({ json, colour, stdout, stderr }: OutputOptions): Output => ({
  json,
  paint: painter(colour && stdout.isTTY === true),
  say: (...lines) => {
    if (!json) for (const line of lines) stdout.write(`${line}\n`);
  },
  document: (value) => {
    if (json) stdout.write(`${JSON.stringify(value)}\n`);
  },
  note: (...lines) => {
    for (const line of lines) stderr.write(`${line}\n`);
  },
  stdout,
  stderr,
});

const codes: Record<Colour, [number, number]> = {
  bold: [1, 22],
  dim: [2, 22],
  red: [31, 39],
  green: [32, 39],
  yellow: [33, 39],
  blue: [34, 39],
};

/** Paints, or leaves the text as it is. */
export const painter = (on: boolean): Paint =>
  on ? (colour, text) => `\u001b[${codes[colour][0]}m${text}\u001b[${codes[colour][1]}m` : (_colour, text) => text;

/** How many columns a text takes; wide characters are counted as one, which only costs alignment. */
export const widthOf = (text: string): number => [...stripVTControlCharacters(text)].length;

/** Cuts a text (without colours) to so many columns, with an ellipsis where something is missing. */
export const cut = (text: string, columns: number): string => {
  const letters = [...text];
  return letters.length <= columns ? text : `${letters.slice(0, Math.max(0, columns - 1)).join('')}…`;
};

/** Text of agents and tools on one line: no control characters, so nobody can redraw the reader's terminal. */
export const oneLine = (text: string): string =>
  stripVTControlCharacters(text)
    .replaceAll(/\p{Cc}+/gu, ' ')
    .trim();

/** Rows as aligned columns, two blanks between them; the last column is not padded. */
export const table = (rows: readonly (readonly string[])[]): string[] => {
  const columns = Math.max(0, ...rows.map((row) => row.length));
  const widths = Array.from({ length: columns }, (_, at) => Math.max(...rows.map((row) => widthOf(row[at] ?? ''))));
  return rows.map((row) =>
    row
      .map((cell, at) => (at === row.length - 1 ? cell : cell + ' '.repeat((widths[at] ?? 0) - widthOf(cell))))
      .join('  ')
      .trimEnd(),
  );
};

/** `1 task`, `2 tasks`. */
export const many = (count: number, what: string): string => `${count} ${what}${count === 1 ? '' : 's'}`;

/** `0.4 s`, `12 s`, `3 min 05 s`, `2 h 07 min`, `7 d 01 h` */
export const duration = (ms: number): string => {
  const seconds = Math.max(0, ms) / 1000;
  if (seconds < 10) return `${seconds.toFixed(1)} s`;
  if (seconds < 60) return `${Math.floor(seconds)} s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return `${minutes} min ${pad(Math.floor(seconds % 60))} s`;
  const hours = Math.floor(minutes / 60);
  return hours < 48 ? `${hours} h ${pad(minutes % 60)} min` : `${Math.floor(hours / 24)} d ${pad(hours % 24)} h`;
};

/** How long ago something was: `12 s ago`. */
export const ago = (iso: string | null, now: number): string =>
  iso === null ? '-' : `${duration(now - Date.parse(iso)).replace(/\.\d/, '')} ago`;

const pad = (value: number): string => String(value).padStart(2, '0');
