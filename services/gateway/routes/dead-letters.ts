/** Dead letters: messages that nobody could handle, kept until a person decides. */
import { taskOfLetter } from '@nexus/shared/bus';
import {
  type DeadLetterDetail,
  type DeadLetterShort,
  deadLetterDetail,
  deadLetterList,
  type LettersDecision,
  letterAnswer,
  letterEdit,
  letterQuery,
  lettersAnswer,
  lettersDecision,
} from '@nexus/shared/client/api';
import { is } from '@nexus/shared/config';
import { isFailure } from '@nexus/shared/errors';
import { z } from 'zod';
import type { Api, Fleet } from '../fleet.ts';
import { refusal } from '../openapi.ts';
import { refusedEdit } from '../problem.ts';

const ofLetter = z.strictObject({ id: z.string().min(1).max(200) });

export const deadLetterRoutes = (app: Api, fleet: Fleet): void => {
  addReading(app, fleet);
  addEditing(app, fleet);
  addDeciding(app, fleet);
  addSweeping(app, fleet);
};

const addReading = (app: Api, { bus }: Fleet): void => {
  app.get(
    '/api/dead-letters',
    {
      config: { scope: 'read' },
      schema: {
        operationId: 'listDeadLetters',
        tags: ['dead letters'],
        summary: 'All dead letters, or those that fit, newest first',
        querystring: letterQuery,
        response: { 200: deadLetterList },
      },
    },
    async ({ query: { limit, offset, ...filter } }) => {
      const { letters, total } = await bus.dead.list({ limit, offset, filter: filterOf(filter) });
      const next = offset + limit;
      return { dead_letters: letters.map(showLetter), total, next_offset: next < total ? next : null };
    },
  );

  app.get(
    '/api/dead-letters/:id',
    {
      config: { scope: 'read' },
      schema: {
        operationId: 'showDeadLetter',
        tags: ['dead letters'],
        summary: 'One dead letter: its message, why it died, and whether it can be replayed',
        params: ofLetter,
        response: { 200: deadLetterDetail, 404: refusal(404), 409: refusal(409) },
      },
    },
    async ({ params }) => showDetail(bus, await bus.dead.show(params.id)),
  );
};

const addEditing = (app: Api, { bus }: Fleet): void => {
  app.patch(
    '/api/dead-letters/:id',
    {
      config: { scope: 'operate' },
      schema: {
        operationId: 'editDeadLetter',
        tags: ['dead letters'],
        summary: 'Change what it carries',
        description: `The result is validated by the schema of its type before anything changes; what it was when it
died is kept beside it.`,
        params: ofLetter,
        body: letterEdit,
        response: { 200: deadLetterDetail, 404: refusal(404), 409: refusal(409) },
      },
    },
    async ({ params: { id }, body, actor }) => {
      try {
        return await showDetail(bus, await bus.dead.edit(id, body, actor));
      } catch (error) {
        throw isFailure(error, 'LETTER_EDIT_INVALID') ? refusedEdit(error) : error;
      }
    },
  );
};

const addDeciding = (app: Api, { bus }: Fleet): void => {
  app.post(
    '/api/dead-letters/:id/replay',
    {
      config: { scope: 'operate' },
      schema: {
        operationId: 'replayDeadLetter',
        tags: ['dead letters'],
        summary: 'Put it back into its inbox, with its history and new retries',
        description: `Refused with its state where the task or subtask that it belongs to has ended or was deleted.`,
        params: ofLetter,
        response: { 200: letterAnswer, 404: refusal(404), 409: refusal(409) },
      },
    },
    async ({ params: { id }, actor }) => {
      const { what, ...decision } = await bus.dead.replay(id, actor);
      return { status: what, ...decision };
    },
  );

  app.delete(
    '/api/dead-letters/:id',
    {
      config: { scope: 'operate' },
      schema: {
        operationId: 'dropDeadLetter',
        tags: ['dead letters'],
        summary: 'Throw it away',
        params: ofLetter,
        response: { 200: letterAnswer, 404: refusal(404), 409: refusal(409) },
      },
    },
    async ({ params: { id }, actor }) => {
      const { what, ...decision } = await bus.dead.drop(id, actor);
      return { status: what, ...decision };
    },
  );
};

const addSweeping = (app: Api, { bus, config }: Fleet): void => {
  const sweep = async (what: 'replay' | 'drop', { filter = {}, limit }: LettersDecision, actor: string) => {
    const countMax = Math.min(limit ?? config.lettersMax, config.lettersMax);
    const swept = await bus.dead.sweep(what, filterOf(filter), actor, countMax);
    return { status: what === 'replay' ? ('replayed' as const) : ('dropped' as const), ...swept };
  };
  app.post(
    '/api/dead-letters/replay',
    {
      config: { scope: 'operate' },
      schema: {
        operationId: 'replayDeadLetters',
        tags: ['dead letters'],
        summary: 'Put all that fit back into their inboxes, the oldest first',
        body: lettersDecision,
        response: { 200: lettersAnswer },
      },
    },
    async ({ body, actor }) => sweep('replay', body, actor),
  );

  app.post(
    '/api/dead-letters/drop',
    {
      config: { scope: 'admin' },
      schema: {
        operationId: 'dropDeadLetters',
        tags: ['dead letters'],
        summary: 'Throw all that fit away, the oldest first',
        body: lettersDecision,
        response: { 200: lettersAnswer },
      },
    },
    async ({ body, actor }) => sweep('drop', body, actor),
  );
};

type Filter = { older_than?: string | undefined };

/** The schema has seen to the form of the duration. */
const filterOf = <F extends Filter>({ older_than, ...filter }: F) => ({
  ...filter,
  ...(older_than === undefined ? {} : { olderThanMs: is.duration.parse(older_than) }),
});

type Letter = Awaited<ReturnType<Fleet['bus']['dead']['show']>>;

const showLetter = (letter: Letter): DeadLetterShort => ({
  id: letter.id,
  at: letter.died_at,
  age_seconds: Math.max(0, Math.round((Date.now() - Date.parse(letter.died_at)) / 1000)),
  code: letter.code,
  says: letter.says,
  service: letter.service,
  type: letter.envelope.type,
  task_id: taskOfLetter(letter),
  attempts: letter.envelope.attempt ?? 1,
});

const showDetail = async (bus: Fleet['bus'], letter: Letter): Promise<DeadLetterDetail> => {
  const why = await bus.dead.refusal(letter);
  return {
    ...showLetter(letter),
    instance_id: letter.instance_id,
    trace_id: letter.envelope.traceparent?.split('-')[1] ?? null,
    causes: letter.causes,
    tries: triesOf(letter),
    operator: letter.operator,
    replayable: why === null,
    why_not: why?.message ?? null,
    mendable: await bus.dead.mendable(letter),
    edited: letter.edited ?? [],
    original: letter.original ?? null,
    envelope: letter.envelope,
  };
};

/** The history holds the last tries that failed; the letter itself is the one that it died of. */
const triesOf = ({ envelope, died_at, instance_id, code, says }: Letter): DeadLetterDetail['tries'] => {
  const before = envelope.history ?? [];
  const last = envelope.attempt ?? 1;
  const tries = [...before, { at: died_at, instance_id, code, says }];
  return tries.map((one, at) => ({ attempt: last - before.length + at, ...one }));
};
