/**
 * Errors: one class, many codes, one table.
 *
 * `registry.ts` is the table. A code says what becomes of the message that met it (`outcome`), which
 * HTTP status a caller sees, the sentence a person reads, and what an operator can do. Everything
 * else matches on `code`, never on text. `ERRORS.md` is generated from the table.
 *
 * To add an error: one entry in `registry.ts`; the slots of its sentence become the type of the
 * details that `fail()` demands.
 */
import { type ErrorCode, type ErrorEntry, registry } from './registry.ts';

export type { ErrorCode, ErrorEntry } from './registry.ts';

/** The `{name}` slots of a sentence, as a union of names. */
type SlotsOf<Text extends string> = Text extends `${string}{${infer Name}}${infer Rest}` ? Name | SlotsOf<Rest> : never;

/** What a code's sentence needs to be filled in; `{}` where it has no slots. */
export type DetailsOf<Code extends ErrorCode> = { [Slot in SlotsOf<(typeof registry)[Code]['says']>]: string | number };

type Arguments<Code extends ErrorCode> =
  SlotsOf<(typeof registry)[Code]['says']> extends never
    ? [details?: Record<string, never>, options?: ErrorOptions]
    : [details: DetailsOf<Code>, options?: ErrorOptions];

/** The only error class of the project. `details` are the filled slots, for logs and problem documents. */
export class AppError extends Error {
  override readonly name = 'AppError';
  readonly code: ErrorCode;
  readonly details: Readonly<Record<string, string | number>>;

  constructor(code: ErrorCode, details: Readonly<Record<string, string | number>> = {}, options?: ErrorOptions) {
    super(fill(registry[code].says, details), options);
    this.code = code;
    this.details = details;
  }

  /** The table's entry for this error's code. */
  get entry(): ErrorEntry {
    return registry[this.code];
  }
}

/** Builds (does not throw) the error of a code: `throw fail('BUS_FULL', { count, countMax }, { cause })`. */
export const fail = <Code extends ErrorCode>(code: Code, ...[details, options]: Arguments<Code>): AppError =>
  new AppError(code, details ?? {}, options);

/**
 * Any thrown thing as an AppError: itself, or with it as cause `BUG` for a failed assertion, `BUS_KEY_TYPE` where Redis
 * refused a command for the type of its key, else `UNEXPECTED`.
 */
export const toAppError = (thrown: unknown): AppError => {
  if (thrown instanceof AppError) return thrown;
  const key = keyOfWrongType(thrown);
  if (key !== null) return fail('BUS_KEY_TYPE', { key, found: 'not what was asked of it' }, { cause: thrown });
  const message = thrown instanceof Error ? thrown.message : String(thrown);
  const code = thrown instanceof Error && thrown.name === 'AssertionError' ? 'BUG' : 'UNEXPECTED';
  return new AppError(code, { message: message.slice(0, 500) }, { cause: thrown });
};

/** Redis does not name the key, but the client remembers what it sent. A script's keys are not known here. */
const keyOfWrongType = (thrown: unknown): string | null => {
  if (!(thrown instanceof Error) || !thrown.message.startsWith('WRONGTYPE')) return null;
  const { command } = thrown as { command?: { name: string; args?: unknown[] } };
  const key = command?.args?.[0];
  return typeof key === 'string' && !/^(eval|fcall)/i.test(command?.name ?? 'eval') ? key : null;
};

/** True for an AppError of one of the codes. */
export const isFailure = (thrown: unknown, ...codes: ErrorCode[]): thrown is AppError =>
  thrown instanceof AppError && (codes.length === 0 || codes.includes(thrown.code));

/** The chain of causes as sentences, outermost first, at most eight: what a dead letter and a log line keep. */
export const causesOf = (thrown: unknown): string[] => {
  const causes: string[] = [];
  for (let at = thrown; at !== undefined && at !== null && causes.length < 8; ) {
    causes.push(at instanceof Error ? `${at instanceof AppError ? at.code : at.name}: ${at.message}` : String(at));
    if (at instanceof Error && at.cause === undefined && foreseenNowhere(thrown)) causes.push(placeOf(at));
    at = at instanceof Error ? at.cause : undefined;
  }
  return causes;
};

/** What nobody foresaw is worth the place where it came up. */
const foreseenNowhere = (thrown: unknown): boolean => !isFailure(thrown) || ['UNEXPECTED', 'BUG'].includes(thrown.code);

const placeOf = (error: Error): string =>
  (error.stack ?? '')
    .split('\n')
    .slice(1, 7)
    .map((line) => line.trim())
    .join(' ← ');

/** Every code with its entry, in the table's order: for the generated page and for tests. */
export const errorTable = (): [ErrorCode, ErrorEntry][] => Object.entries(registry) as [ErrorCode, ErrorEntry][];

const fill = (text: string, details: Readonly<Record<string, string | number>>): string =>
  text.replaceAll(/\{(\w+)\}/g, (slot, name: string) => String(details[name] ?? slot));
