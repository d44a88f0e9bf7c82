/** Dead letters: messages that nobody could handle, kept until a person decides. */
import { type DeadLetterShort, deadLetterDetail, deadLetterList, letterAnswer } from '@nexus/shared/client/api';
import { z } from 'zod';
import type { Api, Fleet } from '../fleet.ts';
import { refusal } from '../openapi.ts';

const ofLetter = z.strictObject({ id: z.string().min(1).max(200) });

export const deadLetterRoutes = (app: Api, fleet: Fleet): void => {
  addReading(app, fleet);
  addDeciding(app, fleet);
};

const addReading = (app: Api, { bus }: Fleet): void => {
  app.get(
    '/api/dead-letters',
    {
      config: { scope: 'read' },
      schema: {
        operationId: 'listDeadLetters',
        tags: ['dead letters'],
        summary: 'All dead letters, newest first',
        querystring: z.strictObject({
          limit: z.coerce.number().int().min(1).max(200).default(50),
          offset: z.coerce.number().int().min(0).max(10_000_000).default(0),
        }),
        response: { 200: deadLetterList },
      },
    },
    async ({ query: { limit, offset } }) => {
      const { letters, total } = await bus.dead.list({ limit, offset });
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
        summary: 'One dead letter, with its message and why it died',
        params: ofLetter,
        response: { 200: deadLetterDetail, 404: refusal(404) },
      },
    },
    async ({ params }) => {
      const letter = await bus.dead.show(params.id);
      const { instance_id, causes, operator, envelope } = letter;
      return { ...showLetter(letter), instance_id, causes, operator, envelope };
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
        summary: 'Put it back into its inbox, as a first attempt',
        params: ofLetter,
        response: { 200: letterAnswer, 404: refusal(404) },
      },
    },
    async ({ params: { id }, actor }) => {
      await bus.dead.replay(id, actor);
      return { id, status: 'replayed' as const };
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
        response: { 200: letterAnswer, 404: refusal(404) },
      },
    },
    async ({ params: { id } }) => {
      await bus.dead.drop(id);
      return { id, status: 'dropped' as const };
    },
  );
};

type Letter = Awaited<ReturnType<Fleet['bus']['dead']['show']>>;

const showLetter = ({ id, died_at, code, says, service, envelope }: Letter): DeadLetterShort => ({
  id,
  at: died_at,
  code,
  says,
  service,
  type: envelope.type,
  task_id: envelope.conversation_thread || null,
});
