/**
 * Redaction: the one place where secrets leave what programs said.
 *
 * Everything that an agent or a check printed or left behind passes through here before it becomes an event, a
 * message or evidence: known shapes of keys and tokens, `password=…`, credentials in URLs, private
 * keys, and every value of a secret-sounding variable of our own. What cannot be told from
 * ordinary text is not caught; that is why programs get an allow-listed environment in the first place.
 */
const mark = '(redacted)';

/** Shapes that are secret wherever they stand. A group keeps what goes before. */
const shapes: [RegExp, string][] = [
  [/-----BEGIN ([A-Z ]*PRIVATE KEY)-----[\s\S]*?(?:-----END \1-----|$)/g, `-----BEGIN $1----- ${mark}`],
  [/\bsk-[A-Za-z0-9_-]{16,}/g, mark],
  [/\b(?:gh[pousr]_[A-Za-z0-9]{20,}|github_pat_[A-Za-z0-9_]{20,}|glpat-[A-Za-z0-9_-]{16,})/g, mark],
  [/\bxox[abeoprs]-[A-Za-z0-9-]{10,}/g, mark],
  [/\b(?:AKIA|ASIA)[A-Z0-9]{16}\b/g, mark],
  [/\bAIza[A-Za-z0-9_-]{30,}/g, mark],
  [/\bnpm_[A-Za-z0-9]{30,}/g, mark],
  [/\b[rs]k_(?:live|test)_[A-Za-z0-9]{16,}/g, mark],
  [/\beyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{5,}/g, mark],
  [/(\b[a-z][a-z0-9+.-]*:\/\/[^\s:/@]*:)[^\s@/]+(?=@)/gi, `$1${mark}`],
  [/(\b(?:authorization|proxy-authorization)["']?\s*[:=]\s*["']?(?:bearer|basic|token)\s+)[^\s"',]+/gi, `$1${mark}`],
  [/(\bbearer\s+)[A-Za-z0-9._~+/-]{16,}=*/gi, `$1${mark}`],
  [
    /((?:password|passwd|passphrase|secret|token|api[_-]?key|access[_-]?key|private[_-]?key)["']?\s*[:=]\s*)(["'])(?:(?!\2)[^\n]){4,}\2/gi,
    `$1$2${mark}$2`,
  ],
  [/(\b[A-Z][A-Z0-9_]*(?:PASSWORD|PASSWD|SECRET|TOKEN|API_?KEY)\s*=\s*)[^\s"'$({<][^\s"']{5,}/g, `$1${mark}`],
];

export type Redactor = {
  /** The whole text without what is secret in it. */
  text(text: string): string;
  /** The same for any JSON value, in every text of it. */
  value<T>(value: T): T;
  /** A redactor of a stream: give it chunks, get lines that are safe; `end()` gives the rest. */
  stream(): { push(chunk: string): string; end(): string };
};

/** A line that never ends is let out in pieces of this size. */
const lineMax = 8192;

/** Makes a redactor that also knows these values; `secretValues()` of the settings are those of this process. */
export const openRedactor = (values: readonly string[]): Redactor => {
  const longestFirst = [...new Set(values.flatMap((value) => [value, ...value.split('\n')]))]
    .map((value) => value.trim())
    .filter((value) => value.length >= 8)
    .sort((one, other) => other.length - one.length);
  const text = (given: string): string => {
    let clean = given;
    for (const value of longestFirst) clean = clean.replaceAll(value, mark);
    for (const [shape, instead] of shapes) clean = clean.replace(shape, instead);
    return clean;
  };
  return { text, value: (value) => mapTexts(value, text) as typeof value, stream: () => openStream(text) };
};

/**
 * Lines are the unit, since no known secret but a private key spans two: a chunk's last, unfinished line
 * waits for its rest, and the lines of a private key are dropped until it ends.
 */
const openStream = (redact: (text: string) => string): ReturnType<Redactor['stream']> => {
  let rest = '';
  let inKey = false;
  const line = (given: string): string => {
    if (inKey) {
      inKey = !/-----END [A-Z ]*PRIVATE KEY-----/.test(given);
      return '';
    }
    inKey = /-----BEGIN [A-Z ]*PRIVATE KEY-----/.test(given) && !/-----END [A-Z ]*PRIVATE KEY-----/.test(given);
    return redact(given);
  };
  return {
    push: (chunk) => {
      const lines = (rest + chunk).split(/(?<=\n)/);
      const last = lines.at(-1) ?? '';
      const finished = last.endsWith('\n') || last.length > lineMax;
      rest = finished ? '' : last;
      return (finished ? lines : lines.slice(0, -1)).map(line).join('');
    },
    end: () => {
      const last = line(rest);
      rest = '';
      return last;
    },
  };
};

const mapTexts = (value: unknown, change: (text: string) => string): unknown => {
  if (typeof value === 'string') return change(value);
  if (Array.isArray(value)) return value.map((item) => mapTexts(item, change));
  if (value === null || typeof value !== 'object') return value;
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, mapTexts(item, change)]));
};
