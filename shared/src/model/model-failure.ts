/** What a server or a connection says when a call of a model fails, as one of our errors with what follows from it. */
import { type AppError, fail } from '@nexus/shared/errors';
import type { APIError } from 'openai';
import { replacementOf } from './names.ts';

export type ModelFailure = {
  error: AppError;
  status: number | null;
  /** The same call may go well a little later. */
  again: boolean;
  /** The server wants fewer calls; how long to wait, where it says so. */
  limited: boolean;
  retryAfterMs: number | null;
  /** The conversation does not fit into the model. */
  tooLong: boolean;
};

/** Reads what the client threw; `where` names the server to a person. */
export const readFailure = (thrown: unknown, where: string, model: string): ModelFailure => {
  const plain = { status: null, again: false, limited: false, retryAfterMs: null, tooLong: false };
  if (!isAnswer(thrown)) {
    const error = fail('MODEL_UNREACHABLE', { where, message: messageOf(thrown) }, { cause: thrown });
    return { ...plain, error, again: true };
  }
  const { status, code, headers } = thrown;
  const message = thrown.message.slice(0, 500);
  const told = { ...plain, status };
  const cause = { cause: thrown };
  if (status === 401 || status === 403) {
    return { ...told, error: fail('MODEL_KEY_REFUSED', { where, status, message }, cause) };
  }
  // An account without money is not mended by waiting a minute.
  if (status === 402 || code === 'insufficient_quota') {
    return { ...told, error: fail('CREDIT_SPENT', { where, message }, cause), limited: true };
  }
  if (status === 404) {
    const instead = replacementOf(model);
    const mend = instead === null ? 'name one that it has' : `${instead} takes its place`;
    return { ...told, error: fail('MODEL_UNKNOWN', { model, where, mend: `${mend} (${message})` }, cause) };
  }
  if (status === 429) {
    const error = fail('MODEL_LIMITED', { where, message }, cause);
    return { ...told, error, again: true, limited: true, retryAfterMs: retryAfterOf(headers) };
  }
  if (status >= 500 || status === 408 || status === 409) {
    const retryAfterMs = retryAfterOf(headers);
    return { ...told, error: fail('MODEL_UNREACHABLE', { where, message }, cause), again: true, retryAfterMs };
  }
  const tooLong = code === 'context_length_exceeded' || /context (length|window)|too many tokens/i.test(message);
  return { ...told, error: fail('MODEL_REQUEST_REFUSED', { where, status, message }, cause), tooLong };
};

/** The library's errors of a connection carry no status: nobody answered. */
const isAnswer = (thrown: unknown): thrown is APIError<number, Headers> =>
  thrown instanceof Error && typeof (thrown as { status?: unknown }).status === 'number';

/** https://www.rfc-editor.org/rfc/rfc9110#field.retry-after: seconds or a date; OpenAI adds one in milliseconds. */
const retryAfterOf = (headers: Headers | undefined): number | null => {
  const ms = Number(headers?.get('retry-after-ms') ?? Number.NaN);
  if (Number.isFinite(ms)) return ms;
  const text = headers?.get('retry-after');
  if (!text) return null;
  const seconds = Number(text);
  const waits = Number.isFinite(seconds) ? seconds * 1000 : Date.parse(text) - Date.now();
  return Number.isFinite(waits) ? Math.max(0, waits) : null;
};

/** "Connection error." alone helps nobody: what lies beneath it is the address that refused. */
const messageOf = (thrown: unknown): string => {
  const messages: string[] = [];
  for (let at = thrown; at instanceof Error && messages.length < 4; at = at.cause) {
    if (at.message !== '' && !messages.includes(at.message)) messages.push(at.message);
  }
  return (messages.join(' ← ') || String(thrown)).slice(0, 500);
};
