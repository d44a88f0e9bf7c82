/** Log files of services, for people: JSON lines become short ones; other lines stay as they are. */
import { closeSync, fstatSync, openSync, readSync } from 'node:fs';

const hidden = new Set(['level', 'time', 'service', 'msg', 'pid', 'hostname', 'err', 'instance_id', 'traceparent']);

/** `12:03:44 warn  Redis does not answer  reason=…` */
export const readableLine = (line: string): string => {
  const entry = parsed(line);
  if (entry === null) return line;
  const { time, level, msg, err } = entry;
  const more = Object.entries(entry)
    .filter(([name]) => !hidden.has(name))
    .map(([name, value]) => `${name}=${typeof value === 'string' ? value : JSON.stringify(value)}`);
  const stack = (err as { stack?: string } | undefined)?.stack ?? '';
  const clock = typeof time === 'string' ? time.slice(11, 19) : '';
  const text = [clock, String(level).padEnd(5), msg, ...more].filter((part) => part !== '' && part !== undefined);
  return [text.join(' '), ...(stack === '' ? [] : [stack])].join('\n');
};

/** The last lines of a file, made readable; [] if there is none. Reads 16 kB at most. */
export const lastLines = (file: string, count: number): string[] => {
  const lines = tail(file, 16_384).trimEnd().split('\n');
  return lines
    .slice(-count)
    .filter((line) => line !== '')
    .map(readableLine);
};

/** The paragraph in which a service said last why it cannot start; [] where its log ends in anything else. */
export const lastWords = (file: string): string[] => {
  const lines = tail(file, 16_384).trimEnd().split('\n');
  const from = lines.findLastIndex((line) => /^\S+ cannot start \(\w+\): /.test(line));
  const words = from === -1 ? [] : lines.slice(from);
  return words.some((line) => parsed(line) !== null) ? [] : words;
};

/** How a process of the fleet came to its end, as far as its log tells; `says` is what it said of it. */
export type End = { how: 'told' | 'failed' | 'silent'; says: string };

/**
 * A service that cannot go on says so in plain text, as Node does that ends it, and as Redis does; one that was told to
 * end says that it has. Where the log stops at any other line, something ended the process that it did not see.
 */
export const endOf = (file: string): End => {
  const lines = tail(file, 16_384)
    .split('\n')
    .filter((line) => line.trim() !== '' && !nodeWarning.test(line));
  const last = lines.at(-1) ?? '';
  if (/has ended$|bye bye/.test(String(parsed(last)?.msg ?? last))) return { how: 'told', says: '' };
  const text = lines.slice(1 + lines.findLastIndex((line) => parsed(line) !== null || redisNotes.test(line)));
  if (text.length === 0) return { how: 'silent', says: '' };
  return { how: 'failed', says: text.find((line) => /^\w*Error\b|^FATAL|cannot start/.test(line)) ?? last };
};

const nodeWarning = /^\(node:\d+\) |^\(Use `node /;
/** A line of Redis that only informs; `#` is a warning. */
const redisNotes = /^\d+:[A-Z] .* [.*-] /;

const tail = (file: string, bytesMax: number): string => {
  let handle: number;
  try {
    handle = openSync(file, 'r');
  } catch {
    return '';
  }
  try {
    const { size } = fstatSync(handle);
    const buffer = Buffer.alloc(Math.min(size, bytesMax));
    const read = readSync(handle, buffer, 0, buffer.length, size - buffer.length);
    return buffer.subarray(0, read).toString('utf8');
  } finally {
    closeSync(handle);
  }
};

const parsed = (line: string): Record<string, unknown> | null => {
  if (!line.startsWith('{')) return null;
  try {
    const entry = JSON.parse(line) as Record<string, unknown>;
    return typeof entry.msg === 'string' ? entry : null;
  } catch {
    return null;
  }
};
