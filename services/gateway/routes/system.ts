/** Health, metrics, and the instances of the fleet. */
import { stateUnder } from '@nexus/shared/bus';
import { type Health, health, type System, system } from '@nexus/shared/client/api';
import { listWaiting, readTask } from '@nexus/shared/ledger';
import { z } from 'zod';
import type { Api, Fleet } from '../fleet.ts';
import { makeFleetMeters } from '../fleet-meters.ts';
import { readParked } from '../parked.ts';
import { openQuestionsOf, questionsOf, waitingOf } from '../show-task.ts';

export const systemRoutes = (app: Api, fleet: Fleet): void => {
  addHealth(app, fleet);
  addSystem(app, fleet);
};

const fabricHealth = ({ bus }: Fleet): Health => {
  const { ok, ...told } = bus.health();
  return { status: ok && told.code === undefined ? ('ok' as const) : ('failing' as const), ...told };
};

const addHealth = (app: Api, fleet: Fleet): void => {
  app.get(
    '/health',
    {
      config: { scope: 'open' },
      schema: {
        operationId: 'showHealth',
        tags: ['system'],
        summary: 'Whether this process lives and what it thinks of its Redis',
        response: { 200: health },
      },
    },
    // A gateway without Redis is alive: restarting it would not help. It is not ready.
    async () => fabricHealth(fleet),
  );

  app.get(
    '/ready',
    {
      config: { scope: 'open' },
      schema: {
        operationId: 'showReadiness',
        tags: ['system'],
        summary: 'Whether requests can be served now; 503 if not',
        response: { 200: health, 503: health },
      },
    },
    async (_request, reply) => {
      const state = fabricHealth(fleet);
      if (fleet.closing.aborted) {
        return reply.code(503).send({ ...state, status: 'failing' as const, says: 'It is shutting down.' });
      }
      // Redis may answer and yet be unfit: then requests are served, and health says what is wrong.
      return reply.code(fleet.bus.health().ok ? 200 : 503).send(state);
    },
  );
};

const addSystem = (app: Api, fleet: Fleet): void => {
  const { bus, meters, config, version } = fleet;
  const measureFleet = makeFleetMeters(fleet);
  app.get(
    '/metrics',
    {
      config: { scope: 'read' },
      schema: {
        operationId: 'showMetrics',
        tags: ['system'],
        summary: 'What Prometheus reads',
        response: { 200: { description: 'Metrics', content: { 'text/plain': { schema: z.string() } } } },
      },
    },
    async (_request, reply) => {
      await measureFleet();
      return reply
        .serializer(String)
        .type('text/plain; version=0.0.4; charset=utf-8')
        .send(await meters.page());
    },
  );

  app.get(
    '/api/system',
    {
      config: { scope: 'read' },
      schema: {
        operationId: 'showSystem',
        tags: ['system'],
        summary: 'The state of the fabric and of every instance',
        response: { 200: system },
      },
    },
    async () => {
      const [control, instances, backlog, waiting, parked] = await Promise.all([
        bus.control.read(),
        bus.presences(),
        bus.counts(),
        readWaiting(bus),
        readParked(bus, parkedMax),
      ]);
      return {
        version,
        fabric: fabricHealth(fleet),
        control,
        instances: instances.map((one) => ({ ...one, state: stateUnder(control.scopes, one) })),
        open_tasks: backlog.tasks.open,
        waiting,
        parked,
        backlog,
        rehearsal: config.rehearsal,
      };
    },
  );
};

const parkedMax = 20;
const waitingMax = 100;

/** The tasks that wait for a person, the one that has waited longest first. */
const readWaiting = async ({ store, keys }: Fleet['bus']): Promise<System['waiting']> => {
  const listed = await listWaiting(store, keys, { limit: waitingMax });
  const tasks = await Promise.all(listed.map(({ task_id }) => readTask(store, keys, task_id)));
  return tasks.flatMap((task) => {
    if (task === null) return [];
    const { task_id, title } = task.head;
    const [waiting, questions] = [waitingOf(task.head), openQuestionsOf(task.head)];
    return waiting.length + questions.length === 0 ? [] : [{ task_id, title, waiting, ...questionsOf({ questions }) }];
  });
};
