/** Dead letters as the HTTP API shows them, and what people say about them. See api.ts. */
import { priority, serviceName, taskId } from '@nexus/shared/messages/domain';
import { z } from 'zod';

export const timestamp = z.string().meta({ description: 'ISO 8601, UTC.', format: 'date-time' });

export const deadLetterShort = z
  .object({
    id: z.string(),
    at: timestamp.meta({ description: 'When it died.' }),
    age_seconds: z.int(),
    code: z.string(),
    says: z.string(),
    service: z.string(),
    type: z.string(),
    task_id: z.string().nullable(),
    attempts: z.int().meta({ description: 'How often it was tried, replays included.' }),
  })
  .meta({ id: 'DeadLetterShort' });

/** One try of a message that has died: the last is the one it died of. */
const letterAttempt = z.object({
  attempt: z.int(),
  at: z.string(),
  instance_id: z.string(),
  code: z.string(),
  says: z.string(),
});

export const deadLetterDetail = deadLetterShort
  .extend({
    instance_id: z.string().meta({ description: 'Where it died.' }),
    trace_id: z.string().nullable().meta({ description: 'The trace that it belongs to (W3C).' }),
    causes: z.array(z.string()).meta({ description: 'The chain of causes, outermost first.' }),
    tries: z.array(letterAttempt).meta({ description: 'Each try that is still known, the oldest first.' }),
    operator: z.string().meta({ description: 'What the person on duty can do.' }),
    replayable: z.boolean(),
    why_not: z.string().nullable().meta({ description: 'Why a replay would be refused now.' }),
    mendable: z.boolean().meta({ description: 'Whether an edit could make it replayable.' }),
    edited: z.array(z.object({ at: timestamp, by: z.string() })).meta({ description: 'Who changed it since it died.' }),
    original: z
      .object({ type: z.string(), payload: z.unknown() })
      .nullable()
      .meta({ description: 'What it was when it died, if it was changed since.' }),
    envelope: z
      .record(z.string(), z.unknown())
      .meta({ description: 'The message with its history; what was not JSON lies as text in its payload.' }),
  })
  .meta({ id: 'DeadLetter' });

export const deadLetterList = z
  .object({ dead_letters: z.array(deadLetterShort), total: z.int(), next_offset: z.int().nullable() })
  .meta({ id: 'DeadLetterList' });

/** Which letters; every field that is given has to fit. */
const letterFields = {
  code: z.string().min(1).max(64).optional().meta({ description: 'The code that it died of.' }),
  type: z.string().min(1).max(128).optional().meta({ description: 'The kind of message.' }),
  task: taskId.optional().meta({ description: 'The task that it belongs to.' }),
  service: serviceName.optional().meta({ description: 'The service in whose inbox it died.' }),
  older_than: z
    .string()
    .regex(/^\d+(ms|s|m|h|d)?$/, 'a duration such as 30s, 5m, 24h or 7d')
    .optional()
    .meta({ description: 'It died longer ago than this: 30s, 5m, 24h, 7d.' }),
};
export const letterQuery = z.strictObject({
  ...letterFields,
  limit: z.coerce.number().int().min(1).max(200).default(50),
  offset: z.coerce.number().int().min(0).max(10_000_000).default(0),
});

/** What a decision about many is about: a filter that names something, or, said openly, all. */
export const lettersDecision = z
  .strictObject({
    filter: z.strictObject(letterFields).default({}).meta({ id: 'DeadLetterFilter' }),
    all: z.literal(true).optional().meta({ description: 'All there are; needed where the filter names nothing.' }),
    limit: z.int().min(1).optional().meta({ description: 'At most so many; left out, what the gateway allows.' }),
  })
  .refine(({ filter, all }) => all === true || Object.keys(filter).length > 0, {
    error: 'names nothing; give one of code, type, task, service, older_than, or "all": true',
    path: ['filter'],
  })
  .meta({ id: 'DeadLettersDecision' });

export const lettersAnswer = z
  .object({
    status: z.enum(['replayed', 'dropped']),
    matched: z.int(),
    done: z.array(z.string()).meta({ description: 'The letters that it was done with.' }),
    refused: z
      .array(z.object({ id: z.string(), code: z.string(), says: z.string() }))
      .meta({ description: 'Those that stay, and why; the first hundred.' }),
    refused_count: z.int(),
    left: z.int().meta({ description: 'Fit, too, but the limit was reached before them: call again.' }),
  })
  .meta({ id: 'DeadLettersAnswer' });

export const letterEdit = z
  .strictObject({
    type: z.string().min(1).max(128).optional().meta({ description: 'Another kind of message.' }),
    priority: z
      .preprocess((value) => (typeof value === 'string' ? value.toUpperCase() : value), priority)
      .optional()
      .meta({ description: 'CRITICAL, HIGH, NORMAL or LOW.', enum: undefined }),
    payload: z.unknown().optional().meta({ description: 'A whole new payload.' }),
    merge: z
      .record(z.string(), z.unknown())
      .optional()
      .meta({ description: 'A JSON merge patch (RFC 7396) of the payload: null takes a field away.' }),
  })
  .refine((edit) => Object.values(edit).some((value) => value !== undefined), {
    error: 'the edit is empty; give payload, merge, type or priority',
  })
  .meta({ id: 'DeadLetterEdit' });

export const letterAnswer = z
  .object({
    id: z.string(),
    status: z.enum(['replayed', 'dropped']),
    at: timestamp,
    by: z.string(),
    message_id: z.string(),
    entry: z.string().nullable().meta({ description: 'The entry of the inbox that it became.' }),
  })
  .meta({ id: 'DeadLetterAnswer' });
