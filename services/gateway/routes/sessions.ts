/** Sessions: the conversations that agents have had, and can go on with. */
import { type SessionShown, sessionDetail, sessionEnded, sessionList, sessionQuery } from '@nexus/shared/client/api';
import { fail } from '@nexus/shared/errors';
import { hubLocation, readEvidence } from '@nexus/shared/git';
import { listSessions, readSession, type Session, statusNow } from '@nexus/shared/ledger';
import type { Presence } from '@nexus/shared/messages/domain';
import { z } from 'zod';
import type { Api, Fleet } from '../fleet.ts';
import { refusal } from '../openapi.ts';

const ofSession = z.strictObject({ id: z.string().min(1).max(100) });

export const sessionRoutes = (app: Api, fleet: Fleet): void => {
  addReading(app, fleet);
  app.post(
    '/api/sessions/:id/end',
    {
      config: { scope: 'admin' },
      schema: {
        operationId: 'endSession',
        tags: ['sessions'],
        summary: 'Let nobody go on with a session: the next attempt begins a new one',
        params: ofSession,
        response: { 202: sessionEnded, 404: refusal(404), 409: refusal(409) },
      },
    },
    async ({ params: { id }, actor }, reply) => {
      const [session, presences] = await Promise.all([known(fleet, id), fleet.bus.presences()]);
      if (show(session, fleet, presences).status === 'active') {
        throw fail('SESSION_HELD', { session: id, instance: session.instance_id });
      }
      const payload = { task_id: session.task_id, session_id: id, by: actor };
      await fleet.bus.publish({ type: 'session.dismissed', payload, thread: session.task_id, actor });
      return reply.status(202).send({ session_id: id, ended: true });
    },
  );
};

const addReading = (app: Api, fleet: Fleet): void => {
  const { store, keys } = fleet.bus;
  app.get(
    '/api/sessions',
    {
      config: { scope: 'read' },
      schema: {
        operationId: 'listSessions',
        tags: ['sessions'],
        summary: 'The conversations of agents, those in which something happened last first',
        querystring: sessionQuery,
        response: { 200: sessionList },
      },
    },
    async ({ query: { task, limit, offset } }) => {
      const [views, presences] = await Promise.all([
        listSessions(store, keys, { limit, offset }),
        fleet.bus.presences(),
      ]);
      const sessions = views
        .filter(({ session }) => task === undefined || session.task_id === task)
        .map(({ session }) => show(session, fleet, presences));
      return { sessions, next_offset: views.length < limit ? null : offset + limit };
    },
  );

  app.get(
    '/api/sessions/:id',
    {
      config: { scope: 'read' },
      schema: {
        operationId: 'showSession',
        tags: ['sessions'],
        summary: 'One session with its transcript, as it was last carried to the hub of its task',
        params: ofSession,
        response: { 200: sessionDetail, 404: refusal(404) },
      },
    },
    async ({ params: { id } }) => {
      const [session, presences] = await Promise.all([known(fleet, id), fleet.bus.presences()]);
      const hub = hubLocation(fleet.config, session.task_id);
      const at = session.transcript;
      const transcript = at === null ? null : await readEvidence({ hub, ...at }).catch(() => null);
      return { ...show(session, fleet, presences), transcript, transcript_at: at?.ref ?? null };
    },
  );
};

const known = async ({ bus }: Fleet, id: string): Promise<Session> => {
  const found = await readSession(bus.store, bus.keys, id);
  if (found === null) throw fail('SESSION_UNKNOWN', { session: id });
  return found.session;
};

/** `active` is what its worker wrote; nobody is in it any more once that beats no more. */
const show = (session: Session, { config }: Fleet, presences: readonly Presence[]): SessionShown => {
  const { usd_total, usd_booked, usage_total, usage_booked, ...told } = session;
  const { holder, transcript, ended_at, notional, context, cost, ...rest } = told;
  const status = statusNow(session, Date.now(), config.sessionKeep);
  const isLeft = status === 'active' && !presences.some(({ instance_id }) => instance_id === session.instance_id);
  return {
    ...rest,
    status: isLeft ? 'idle' : status,
    why: isLeft ? 'its worker is gone; whoever takes its attempt over goes on with it' : session.why,
    context_usage: context?.window ? Math.round((context.used / context.window) * 1000) / 1000 : null,
    cost: { ...cost, notional },
  };
};
