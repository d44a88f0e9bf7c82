/**
 * Everything as it happens, as server-sent events.
 *
 *   opening ─► following ─► ended: the gateway shuts down, the client goes, or it stops reading
 *
 * A client is sent one event at a time and the next is fetched only when its socket has taken it, so a slow
 * one costs no memory; one that takes nothing for NEXUS_FOLLOWER_STALL is cut off and may come again with
 * Last-Event-ID. Behind the capped journal a client that comes too late has missed the oldest events.
 */
import type { ServerResponse } from 'node:http';
import { type FleetEvent, fleetEvent } from '@nexus/shared/client/api';
import { fail } from '@nexus/shared/errors';
import { taskId } from '@nexus/shared/messages/domain';
import { z } from 'zod';
import type { Api, Fleet } from '../fleet.ts';

const heartbeatMs = 15_000;
const entryId = z.string().regex(/^\d+-\d+(\.\d+)?$/, 'expected the id of an event, such as 1763633428000-0.0');

export const eventRoutes = (app: Api, fleet: Fleet): void => {
  const followers = fleet.meters.gauge('nexus_followers_count', 'Clients that follow /api/events.');
  let count = 0;
  app.get(
    '/api/events',
    {
      config: { scope: 'read' },
      // A HEAD would be a stream without an end and without a body.
      exposeHeadRoute: false,
      schema: {
        operationId: 'followEvents',
        tags: ['events'],
        summary: 'Messages, settlements and live events, as they happen',
        description: `Server-sent events. \`Last-Event-ID\` (or \`after\`) goes on after that event; without it the
stream begins now. The name of an event is its kind; its data is JSON.`,
        headers: z.object({ 'last-event-id': entryId.optional() }),
        querystring: z.strictObject({ task: taskId.optional(), after: entryId.optional() }),
        response: {
          200: { description: 'The stream', content: { 'text/event-stream': { schema: fleetEvent } } },
        },
      },
    },
    async ({ headers, query }, reply) => {
      const { followersMax } = fleet.config;
      if (count >= followersMax) throw fail('FOLLOWERS_FULL', { countMax: followersMax });
      reply.hijack();
      count += 1;
      followers.set(count);
      try {
        await follow(fleet, reply.raw, { after: headers['last-event-id'] ?? query.after, task: query.task });
      } finally {
        count -= 1;
        followers.set(count);
      }
    },
  );
};

type Following = { after: string | undefined; task: string | undefined };

const follow = async (fleet: Fleet, response: ServerResponse, { after, task }: Following): Promise<void> => {
  const gone = new AbortController();
  response.on('close', () => gone.abort()).on('error', () => gone.abort());
  const signal = AbortSignal.any([gone.signal, fleet.closing]);
  response.writeHead(200, {
    'content-type': 'text/event-stream; charset=utf-8',
    'cache-control': 'no-store',
    'x-accel-buffering': 'no',
    // Kept alive, the connection would outlive the stream and hold up a shutdown.
    connection: 'close',
  });
  response.write(': NEXUS\nretry: 2000\n\n');
  const heartbeat = setInterval(() => {
    if (!response.writableNeedDrain) response.write(':\n\n');
  }, heartbeatMs);
  try {
    for await (const entry of fleet.bus.follow({ ...(after === undefined ? {} : { after }), signal })) {
      const event = showEvent(entry);
      if (task !== undefined && event.task_id !== task) continue;
      const line = `id: ${event.id}\nevent: ${event.kind}\ndata: ${JSON.stringify(event)}\n\n`;
      if (!response.write(line) && !(await drained(response, fleet.config.followerStallMs, signal))) break;
    }
  } catch (error) {
    // The client sees the stream end and comes again; the reason is for us.
    if (!signal.aborted) fleet.log.warn({ err: error }, 'a stream of events broke');
  } finally {
    clearInterval(heartbeat);
    if (response.writableNeedDrain) response.destroy();
    else response.end();
  }
};

/** Waits until the socket takes more; false if it did not within the time, or the stream has ended. */
const drained = (response: ServerResponse, stallMs: number, signal: AbortSignal): Promise<boolean> =>
  new Promise((resolve) => {
    const finish = (flowing: boolean) => () => {
      clearTimeout(timer);
      response.off('drain', onDrain);
      signal.removeEventListener('abort', onEnd);
      resolve(flowing);
    };
    const onDrain = finish(true);
    const onEnd = finish(false);
    const timer = setTimeout(onEnd, stallMs);
    response.once('drain', onDrain);
    signal.addEventListener('abort', onEnd, { once: true });
    if (signal.aborted) onEnd();
  });

type Entry = { id: string; at: number; kind: FleetEvent['kind']; body: unknown };

const showEvent = ({ id, at, kind, body }: Entry): FleetEvent => ({
  id,
  at: new Date(at).toISOString(),
  kind,
  task_id: taskOf(body),
  body,
});

/** The task of an entry of the journal: live events, settlements and envelopes each have their own field for it. */
const taskOf = (body: unknown): string | null => {
  if (typeof body !== 'object' || body === null) return null;
  const { task_id, task, conversation_thread } = body as Record<string, unknown>;
  const named = task_id ?? task ?? conversation_thread;
  return typeof named === 'string' && named !== '' ? named : null;
};
