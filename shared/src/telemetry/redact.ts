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
  [/\bya29\.[A-Za-z0-9_-]{20,}/g, mark],
  [/\bnpm_[A-Za-z0-9]{30,}/g, mark],
  [/\bpypi-[A-Za-z0-9_-]{40,}/g, mark],
  [/\bhf_[A-Za-z0-9]{30,}/g, mark],
  [/\bdckr_(?:pat|oat)_[A-Za-z0-9_-]{20,}/g, mark],
  [/\bhv[sb]\.[A-Za-z0-9_-]{20,}/g, mark],
  [/\bdo[opr]_v1_[a-f0-9]{40,}/g, mark],
  [/\bSG\.[A-Za-z0-9_-]{16,}\.[A-Za-z0-9_-]{20,}/g, mark],
  [/\bATATT3[A-Za-z0-9_=-]{30,}/g, mark],
  [/\blin_api_[A-Za-z0-9]{30,}/g, mark],
  [/\bAGE-SECRET-KEY-1[A-Z0-9]{50,}/g, mark],
  [/\b\d{8,10}:AA[A-Za-z0-9_-]{32,}/g, mark],
  [/(\bhooks\.slack\.com\/services\/)[A-Za-z0-9/]{20,}/g, `$1${mark}`],
  [/(\b(?:AccountKey|SharedAccessKey)=)[A-Za-z0-9+/=]{20,}/g, `$1${mark}`],
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
    .flatMap(spellingsOf)
    .sort((one, other) => other.length - one.length);
  const text = (given: string): string => {
    let clean = given;
    for (const value of longestFirst) clean = clean.replaceAll(value, mark);
    for (const [shape, instead] of shapes) clean = clean.replace(shape, instead);
    return clean;
  };
  const keepMax = Math.max(512, longestFirst[0]?.length ?? 0);
  const stream = () => openStream(text, (given) => cutBefore(given, given.length - keepMax, longestFirst));
  return { text, value: (value) => mapTexts(value, text) as typeof value, stream };
};

/** A value as it is, in JSON, in an address, and in base64 where it begins a text of its own. */
const spellingsOf = (value: string): string[] => {
  const base64 = Buffer.from(value).toString('base64').replace(/=+$/, '');
  // The last character depends on what follows.
  return [...new Set([value, JSON.stringify(value).slice(1, -1), encodeURIComponent(value), base64.slice(0, -1)])];
};

/** The last place up to `at` where a text can be cut without going through a secret. */
const cutBefore = (text: string, at: number, values: readonly string[]): number => {
  let cut = at;
  const avoid = (begin: number, length: number): void => {
    // What a shape only looks at, as the @ of an address, stays with it.
    if (begin < cut && begin + length >= cut) cut = begin;
  };
  for (const value of values) {
    for (let found = text.indexOf(value); found !== -1; found = text.indexOf(value, found + 1))
      avoid(found, value.length);
  }
  for (const [shape] of shapes) for (const match of text.matchAll(shape)) avoid(match.index, match[0].length);
  return cut;
};

/**
 * Lines are the unit, since no known secret but a private key spans two: a chunk's last, unfinished line
 * waits for its rest, and the lines of a private key are dropped until it ends. Of a line that becomes too long,
 * the end waits, as long as any secret could be, and a secret that is there is never cut in two.
 */
const openStream = (
  redact: (text: string) => string,
  cutOf: (text: string) => number,
): ReturnType<Redactor['stream']> => {
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
      const isWhole = last.endsWith('\n');
      const cut = isWhole || last.length <= lineMax ? 0 : cutOf(last);
      // One secret without end, as far as anybody can tell: it is let out as what it is.
      const end = cut > 0 || last.length <= 2 * lineMax ? cut : last.length;
      rest = isWhole ? '' : last.slice(end);
      return [...(isWhole ? lines : lines.slice(0, -1)), ...(end > 0 ? [last.slice(0, end)] : [])].map(line).join('');
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
