/**
 * When a used-up window opens again, as people are told it: "You've hit your 5-hour limit · resets 3pm (UTC)".
 *
 *   resets 10:11pm (Europe/Berlin)          the next time that it is so late there
 *   resets Nov 23, 3:11pm (Asia/Kolkata)    that day; a day alone is its beginning
 *   resets in 2h 5m · 2026-11-20T22:00Z · limit reached|1795212680
 *
 * Whoever cannot read it asks again after a while of their own.
 */

/** No window of a provider is as long; what reads as more was misread. */
const farthestMs = 35 * 24 * 3_600_000;
/** A time of day so shortly ago is not tomorrow's: it was told just before it came. */
const justNowMs = 10 * 60_000;

/** In milliseconds since 1970, never before `nowMs`; null where the text tells nothing, or nothing that can be. */
export const resetIn = (text: string, nowMs: number, zone = localZone()): number | null => {
  const found = read(text.replaceAll(/[\u202f\u00a0]/g, ' '), nowMs, zone);
  if (found === null || found > nowMs + farthestMs || found < nowMs - justNowMs) return null;
  return Math.max(found, nowMs);
};

const localZone = (): string => Intl.DateTimeFormat().resolvedOptions().timeZone;

const read = (text: string, nowMs: number, zone: string): number | null => {
  const seconds = /limit reached\|(\d{10})\b/i.exec(text)?.[1];
  if (seconds !== undefined) return Number(seconds) * 1000;
  // The last one is the one that holds: earlier ones may be of other windows.
  const [, ...said] = text.split(/\bresets?\b(?=\s+(?:at|in|on|\d|[A-Z][a-z]{2}))/);
  const rest = said
    .at(-1)
    ?.trim()
    .replace(/^(?:at|on)\s+/, '');
  return rest === undefined ? null : (instantIn(rest) ?? spanIn(rest, nowMs) ?? clockIn(rest, nowMs, zone));
};

const instantIn = (text: string): number | null => {
  const found = /^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}(?::\d{2}(?:\.\d+)?)?(?:Z|[+-]\d{2}:\d{2})/.exec(text)?.[0];
  return found === undefined ? null : Date.parse(found);
};

const unitMs: Record<string, number> = { d: 86_400_000, h: 3_600_000, m: 60_000, s: 1000 };

const spanIn = (text: string, nowMs: number): number | null => {
  const span = /^in((?:\s*\d+\s*(?:d|h|m|s)(?:[a-z]*)\b,?)+)/.exec(text)?.[1];
  if (span === undefined) return null;
  const parts = span.matchAll(/(\d+)\s*([dhms])/g);
  return [...parts].reduce((sum, [, count, unit = '']) => sum + Number(count) * (unitMs[unit] ?? 0), nowMs);
};

const months = ['Jan', 'Feb', 'Mar', 'Apr', 'May', 'Jun', 'Jul', 'Aug', 'Sep', 'Oct', 'Nov', 'Dec'];
const dayPattern = /^(?<month>[A-Z][a-z]{2})[a-z]*\.? (?<day>\d{1,2})(?:, (?<year>\d{4}))?(?:,| at|$|\s)\s*/;
const hourPattern = /^(?<hour>\d{1,2})(?::(?<minute>\d{2}))?(?::\d{2})?\s*(?<half>am|pm)?/i;
const zonePattern = /^\s*\(?(?<zone>UTC|GMT|[A-Z][A-Za-z_]+\/[A-Za-z_/+-]+\d*)\)?/;

/** A day, a time of day, or both, on the clocks of a place. */
const clockIn = (text: string, nowMs: number, here: string): number | null => {
  const day = dayPattern.exec(text);
  const hour = hourPattern.exec(text.slice(day?.[0].length ?? 0));
  const time = hour === null ? null : timeOf(hour.groups ?? {});
  const after = text.slice((day?.[0].length ?? 0) + (hour?.[0].length ?? 0));
  const zone = zonePattern.exec(after)?.groups?.zone ?? here;
  const today = clockAt(nowMs, zone);
  if (today === null || (day === null && time === null) || (hour !== null && time === null)) return null;
  const { hour: h, minute } = time ?? { hour: 0, minute: 0 };
  if (day === null) {
    const found = instantOf({ ...today, hour: h, minute }, zone);
    return found < nowMs - justNowMs ? instantOf({ ...today, day: today.day + 1, hour: h, minute }, zone) : found;
  }
  const { month: name = '', day: number, year } = day.groups ?? {};
  const month = months.indexOf(name);
  if (month === -1) return null;
  const at = { year: Number(year ?? today.year), month, day: Number(number), hour: h, minute };
  const found = instantOf(at, zone);
  // Told in December of a day in January.
  return year === undefined && found < nowMs - farthestMs ? instantOf({ ...at, year: at.year + 1 }, zone) : found;
};

const timeOf = ({ hour, minute = '0', half }: Record<string, string | undefined>) => {
  const [h, m] = [Number(hour), Number(minute)];
  if (m > 59 || h > (half ? 12 : 23) || (half && h === 0)) return null;
  const isHalf = half?.toLowerCase();
  return { hour: isHalf ? (h % 12) + (isHalf === 'pm' ? 12 : 0) : h, minute: m };
};

type Clock = { year: number; month: number; day: number; hour: number; minute: number };

/** What the clocks of a place show; null where there is no such place. */
const clockAt = (ms: number, timeZone: string): Clock | null => {
  try {
    const format = new Intl.DateTimeFormat('en-US', {
      ...{ timeZone, hourCycle: 'h23', year: 'numeric', month: 'numeric', day: 'numeric' },
      ...{ hour: 'numeric', minute: 'numeric' },
    } as Intl.DateTimeFormatOptions);
    const part = Object.fromEntries(format.formatToParts(ms).map(({ type, value }) => [type, Number(value)]));
    const { year = 0, month = 1, day = 1, hour = 0, minute = 0 } = part;
    return { year, month: month - 1, day, hour, minute };
  } catch {
    return null;
  }
};

const utcOf = ({ year, month, day, hour, minute }: Clock): number => Date.UTC(year, month, day, hour, minute);

/** When the clocks of a place show this: found by how far they are from those of UTC, there and then. */
const instantOf = (wanted: Clock, zone: string): number => {
  const wall = utcOf(wanted);
  let found = wall;
  for (let tries = 0; tries < 2; tries += 1) found = wall - (utcOf(clockAt(found, zone) ?? wanted) - floored(found));
  return found;
};

const floored = (ms: number): number => Math.floor(ms / 60_000) * 60_000;
