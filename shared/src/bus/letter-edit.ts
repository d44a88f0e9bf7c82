/**
 * An edit of a dead letter: what it becomes, or why it cannot. Pure, so that nothing changes before it is known to fit.
 */
import { fail } from '@nexus/shared/errors';
import { entryOf, isKind, type Kind } from '@nexus/shared/messages';
import type { Priority } from '@nexus/shared/messages/domain';
import { z } from 'zod';
import type { Letter } from './dead.ts';
import { type Envelope, protocolVersion } from './envelope.ts';

/** What to change; `merge` is a JSON merge patch (RFC 7396) of the payload, `payload` a whole new one. */
export type LetterEdit = {
  type?: string | undefined;
  priority?: Priority | undefined;
  payload?: unknown;
  merge?: Record<string, unknown> | undefined;
};

/** What of a letter an edit changes. Throws `LETTER_EDIT_INVALID`; its cause is a ZodError with whole paths. */
export const applyEdit = ({ id, envelope }: Letter, edit: LetterEdit): Pick<Letter, 'envelope' | 'service'> => {
  const { payload: before } = envelope;
  const type = edit.type ?? envelope.type;
  if (!isKind(type)) {
    const problem = `there is no message type "${type}"; shared/MESSAGES.md lists them`;
    throw fail('LETTER_EDIT_INVALID', { id, type, problem }, { cause: typeProblem(problem) });
  }
  const base = edit.payload === undefined ? before : edit.payload;
  const payload = parse(id, type, edit.merge === undefined ? base : mergePatch(base, edit.merge));
  const { to } = entryOf(type);
  const named = (payload as { task_id?: string }).task_id ?? envelope.conversation_thread;
  const changed: Envelope = {
    ...envelope,
    // What was validated by our catalog speaks our protocol.
    protocol_version: protocolVersion,
    type,
    to: { service: to },
    priority: edit.priority ?? envelope.priority,
    conversation_thread: named,
    payload,
  };
  return { envelope: changed, service: to };
};

const parse = (id: string, type: Kind, payload: unknown): unknown => {
  const read = entryOf(type).payload.safeParse(payload);
  if (read.success) return read.data;
  const issues = read.error.issues.flatMap((issue) => flat(issue, ['payload'])).slice(0, 20);
  const problem = issues.map(({ path, message }) => `${path.join('.')}: ${message}`).join('; ');
  throw fail('LETTER_EDIT_INVALID', { id, type, problem }, { cause: new z.ZodError(issues) });
};

/** With the whole path; of the ways that a union may be read, the one that came furthest says what is wrong. */
const flat = (issue: z.core.$ZodIssue, path: PropertyKey[]): z.core.$ZodIssue[] => {
  const whole = [...path, ...issue.path];
  if (issue.code !== 'invalid_union') return [{ ...issue, path: whole }];
  const ways = issue.errors.map((way) => way.flatMap((inner) => flat(inner, whole)));
  const depth = (way: z.core.$ZodIssue[]): number => Math.max(0, ...way.map((inner) => inner.path.length));
  return ways.sort((a, b) => depth(b) - depth(a))[0] ?? [{ ...issue, path: whole }];
};

const typeProblem = (message: string): z.ZodError =>
  new z.ZodError([{ code: 'custom', path: ['type'], message, input: undefined }]);

/** RFC 7396: null takes a field away, objects are merged, all else replaces. */
export const mergePatch = (target: unknown, patch: unknown): unknown => {
  if (!isObject(patch)) return patch;
  const merged: Record<string, unknown> = isObject(target) ? { ...target } : {};
  for (const [name, value] of Object.entries(patch)) {
    if (value === null) delete merged[name];
    else merged[name] = mergePatch(merged[name], value);
  }
  return merged;
};

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);
