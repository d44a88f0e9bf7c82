/**
 * Everything that goes wrong, as problem details (RFC 9457).
 *
 * The registry of errors says which status and which sentence a code has; here it becomes a document, and
 * what fastify itself refuses becomes one of our codes. One failure of ours (5xx) is one line in the log;
 * what callers did wrong is theirs and is not logged.
 */

import { STATUS_CODES } from 'node:http';
import type { Socket } from 'node:net';
import { redisFailure } from '@nexus/shared/bus';
import type { Problem } from '@nexus/shared/client/api';
import { asTyped } from '@nexus/shared/config';
import { AppError, type ErrorCode, fail, toAppError } from '@nexus/shared/errors';
import type { Log } from '@nexus/shared/telemetry';
import type { ConnectionError, FastifyError, FastifyReply, FastifyRequest } from 'fastify';
import { z } from 'zod';

export type FieldProblem = { field: string; says: string };

/** The error of a request that does not fit; its problem document lists the fields. */
export const invalid = (problems: FieldProblem[]): AppError =>
  fail(
    'REQUEST_INVALID',
    { problem: problems.map(({ field, says }) => (field === '' ? says : `${field}: ${says}`)).join('; ') },
    { cause: new FieldProblems(problems) },
  );

/** Carries the fields of a refused request from where they are found to the document. */
class FieldProblems extends Error {
  override readonly name = 'FieldProblems';
  readonly problems: FieldProblem[];

  constructor(problems: FieldProblem[]) {
    super(`${problems.length} field(s)`);
    this.problems = problems;
  }
}

/** Fastify's validator: zod schemas, unknown fields refused by name, every problem with what would be right. */
export const validatorCompiler =
  ({ schema, httpPart }: { schema: z.ZodType; httpPart?: string | undefined }) =>
  (given: unknown) => {
    // Fastify says null where there was no body.
    const data = httpPart === 'body' && given === null ? undefined : given;
    if (data === undefined && httpPart === 'body' && schema instanceof z.ZodObject) {
      return { error: invalid([{ field: '', says: 'the body is empty; it must be a JSON object' }]) };
    }
    const read = schema.safeParse(data);
    return read.success ? { value: read.data } : { error: invalid(fieldProblems(read.error, schema)) };
  };

/** An edit of a dead letter that does not fit; its problem document lists the fields. */
export const refusedEdit = (error: AppError): AppError => {
  if (!(error.cause instanceof z.ZodError)) return error;
  const problems = new FieldProblems(fieldProblems(error.cause, z.unknown()));
  return new AppError(error.code, error.details, { cause: problems });
};

/** The hook for everything that was thrown on the way to an answer. */
export const errorHandler =
  (log: Log, command = 'nexus') =>
  (thrown: unknown, request: FastifyRequest, reply: FastifyReply): FastifyReply => {
    const error = toOwnError(thrown, request);
    const status = error.entry.http;
    // 503 is an answer (no worker, the fleet drains), not a failure of the gateway.
    if (status >= 500 && status !== 503) {
      log.error({ err: error, method: request.method, path: pathOf(request) }, 'a request failed');
    }
    return sendProblem(reply, typed(problemOf(error, pathOf(request)), command), error.code);
  };

/**
 * Answers what never became a request: fastify hands over the bare socket. Who has gone gets no answer, and neither has
 * one to whom something was written already.
 */
export const answerUnread = (error: ConnectionError, socket: Socket): void => {
  if (error.code === 'ECONNRESET' || !socket.writable || socket.bytesWritten > 0) {
    socket.destroy();
    return;
  }
  const told =
    error.code === 'HPE_HEADER_OVERFLOW'
      ? fail('HEADERS_TOO_LARGE')
      : fail('HTTP_MALFORMED', { problem: error.message });
  const body = JSON.stringify(problemOf(told, '/'));
  const head = [
    `HTTP/1.1 ${told.entry.http} ${STATUS_CODES[told.entry.http] ?? ''}`,
    'content-type: application/problem+json; charset=utf-8',
    `content-length: ${Buffer.byteLength(body)}`,
    'connection: close',
  ];
  socket.end(`${head.join('\r\n')}\r\n\r\n${body}`);
};

/** A body that is no JSON, and where it stops being some. */
export const malformed = (problem: string): AppError => fail('BODY_MALFORMED', { problem });

export const notFoundHandler = (request: FastifyRequest): never => {
  throw fail('ROUTE_UNKNOWN', { method: request.method, path: pathOf(request) });
};

/** The document of an error. `instance` is the path that was called. */
export const problemOf = (error: AppError, instance: string): Problem => {
  const problems = error.cause instanceof FieldProblems ? error.cause.problems : fieldOf(error.code, error.message);
  return {
    type: `urn:nexus:problem:${error.code.toLowerCase().replaceAll('_', '-')}`,
    title: titleOf(error.code),
    status: error.entry.http,
    detail: error.message,
    instance,
    code: error.code,
    ...(problems === undefined ? {} : { problems }),
  };
};

/** With the commands that it names as they are typed where this fleet runs. */
const typed = ({ problems, ...problem }: Problem, command: string): Problem => ({
  ...problem,
  detail: asTyped(problem.detail, command),
  ...(problems === undefined
    ? {}
    : { problems: problems.map(({ field, says }) => ({ field, says: asTyped(says, command) })) }),
});

const sendProblem = (reply: FastifyReply, problem: Problem, code: ErrorCode): FastifyReply => {
  if (problem.status === 503) reply.header('retry-after', retryAfter[code] ?? 5);
  return reply
    .code(problem.status)
    .header('content-type', 'application/problem+json; charset=utf-8')
    .serializer(JSON.stringify)
    .send(problem);
};

/** Seconds after which a refused caller may come again. */
const retryAfter: Partial<Record<ErrorCode, number>> = {
  NO_WORKER: 10,
  WORKERS_STARTING: 2,
  BUS_FULL: 30,
  BUS_MEMORY: 60,
  DRAINING: 30,
  REDIS_UNREACHABLE: 5,
};

/** Codes that are about one field of a task request. */
const fields: Partial<Record<ErrorCode, string>> = {
  DEADLINE_PASSED: 'deadline',
  WORKFLOW_UNKNOWN: 'workflow',
  ROLE_UNKNOWN: 'roles',
  RUNTIME_UNKNOWN: 'runtime',
  NO_RUNTIME: 'runtime',
  AGENT_COMMAND_MISSING: 'agent_command',
  REHEARSAL_OFF: 'scenario',
  SCENARIO_INVALID: 'scenario',
  REPOSITORY_MISSING: 'repository',
  REPOSITORY_UNREACHED: 'repository',
  REPOSITORY_UNSEEN: 'repository',
  REPOSITORY_LOCKED: 'repository',
  REPOSITORY_READONLY: 'repository',
  BRANCH_OCCUPIED: 'repository',
  BASE_UNKNOWN: 'base',
  DEFINITION_INVALID: 'source',
  CONTROL_UNKNOWN: 'command',
  CONTROL_TARGET: 'scope',
};
const fieldOf = (code: ErrorCode, says: string): FieldProblem[] | undefined => {
  const field = fields[code];
  return field === undefined ? undefined : [{ field, says }];
};

const titleOf = (code: string): string => {
  const words = code.toLowerCase().replaceAll('_', ' ');
  return words.charAt(0).toUpperCase() + words.slice(1);
};

const pathOf = (request: FastifyRequest): string => request.url.split('?', 1)[0] ?? '/';

// --- what fastify refuses by itself ------------------------------------------------------------

const toOwnError = (thrown: unknown, request: FastifyRequest): AppError => {
  const told = thrown as Partial<FastifyError>;
  switch (told.code) {
    case 'FST_ERR_CTP_BODY_TOO_LARGE':
      return fail('REQUEST_TOO_LARGE', { bytesMax: request.routeOptions.bodyLimit ?? 0 }, { cause: thrown });
    case 'FST_ERR_BAD_URL':
      return fail('ROUTE_UNKNOWN', { method: request.method, path: pathOf(request) }, { cause: thrown });
    case 'FST_ERR_CTP_INVALID_MEDIA_TYPE':
      return fail('BODY_FOREIGN', { type: request.headers['content-type'] ?? 'nothing' }, { cause: thrown });
    case 'FST_ERR_RESPONSE_SERIALIZATION':
      return fail(
        'BUG',
        { message: `the answer of ${request.method} ${pathOf(request)} does not fit its schema` },
        {
          cause: told.cause,
        },
      );
    default:
  }
  const error = redisFailure(thrown, 'its address') ?? toAppError(thrown);
  const refused = error.code === 'UNEXPECTED' && told.statusCode !== undefined && told.statusCode < 500;
  return refused ? fail('BODY_MALFORMED', { problem: told.message ?? 'unreadable' }, { cause: thrown }) : error;
};

// --- zod's issues as sentences -----------------------------------------------------------------

const fieldProblems = (error: z.ZodError, schema: z.ZodType): FieldProblem[] =>
  error.issues.slice(0, 50).flatMap((issue) => {
    const field = fieldName(issue.path);
    if (issue.code !== 'unrecognized_keys') return [{ field, says: saysOf(issue) }];
    const known = keysAt(schema, issue.path);
    const says = `is not known here${known.length > 0 ? `; known are ${known.join(', ')}` : ''}`;
    return issue.keys.map((key) => ({ field: fieldName([...issue.path, key]), says }));
  });

const saysOf = (issue: z.core.$ZodIssue): string => {
  if (issue.code === 'invalid_type') {
    const wanted = kinds[issue.expected] ?? issue.expected;
    if (issue.input === undefined && issue.message.endsWith('received undefined')) {
      return `is missing; expected ${wanted}`;
    }
    // What a query says is text, so a number that is none says what it should be.
    return `must be ${issue.message.endsWith('received NaN') ? 'a whole number' : wanted}`;
  }
  // A message of our own says it better than any rule here.
  if (issue.code === 'too_small' && /^too small/i.test(issue.message)) return tooSmall(issue.origin, issue.minimum);
  if (issue.code === 'too_big' && /^too big/i.test(issue.message)) return tooBig(issue.origin, issue.maximum);
  if (issue.code === 'invalid_value') return `expected ${issue.values.map(String).join(', ')}`;
  if (issue.code === 'invalid_format' && issue.format === 'datetime') {
    return 'expected a date and time with its zone, such as 2026-12-31T18:00:00Z';
  }
  // The patterns of our schemas say in words what they want.
  if (issue.code === 'invalid_format' && !/^(expected|invalid)/i.test(issue.message)) {
    return `expected ${issue.message}`;
  }
  return issue.message.charAt(0).toLowerCase() + issue.message.slice(1);
};

/** What zod calls a type, as people call it. */
const kinds: Record<string, string> = {
  string: 'text',
  number: 'a number',
  int: 'a whole number',
  boolean: 'true or false',
  array: 'a list',
  object: 'an object',
  record: 'an object',
};
const units: Record<string, string> = { string: 'characters', array: 'entries' };

const tooSmall = (origin: string, minimum: number | bigint): string => {
  const unit = units[origin];
  if (unit === undefined) return `must be at least ${minimum}`;
  return Number(minimum) === 1 ? 'must not be empty' : `must have at least ${minimum} ${unit}`;
};

const tooBig = (origin: string, maximum: number | bigint): string => {
  const unit = units[origin];
  return unit === undefined ? `must be at most ${maximum}` : `must have at most ${maximum} ${unit}`;
};

/** `checks[0].command`. */
const fieldName = (path: readonly PropertyKey[]): string =>
  path.reduce<string>((name, key) => {
    if (typeof key === 'number') return `${name}[${key}]`;
    return name === '' ? String(key) : `${name}.${String(key)}`;
  }, '');

/** The names of the fields that the object at `path` may have. */
const keysAt = (schema: z.ZodType, path: readonly PropertyKey[]): string[] => {
  let at: z.core.$ZodType | undefined = schema;
  for (const key of path) {
    at = bare(at);
    if (at instanceof z.ZodObject) at = at.shape[String(key)] as z.ZodType | undefined;
    else if (at instanceof z.ZodArray) at = at.element;
    else return [];
  }
  at = bare(at);
  return at instanceof z.ZodObject ? Object.keys(at.shape) : [];
};

const bare = (schema: z.core.$ZodType | undefined): z.core.$ZodType | undefined =>
  schema instanceof z.ZodOptional || schema instanceof z.ZodNullable || schema instanceof z.ZodDefault
    ? bare(schema.unwrap())
    : schema;
