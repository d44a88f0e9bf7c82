/** Stop, pause, resume, drain: the whole fleet, or a part of it. */
import { type ControlScope, type ControlState, controlCommand, controlState } from '@nexus/shared/client/api';
import type { Api, Fleet } from '../fleet.ts';
import { refusal } from '../openapi.ts';
import { knownStatus } from './tasks.ts';

export const controlRoutes = (app: Api, fleet: Fleet): void => {
  const { bus } = fleet;
  app.get(
    '/api/control',
    {
      config: { scope: 'read' },
      schema: {
        operationId: 'showControl',
        tags: ['control'],
        summary: 'The control state, and which instances have carried it out',
        response: { 200: controlState },
      },
    },
    async () => show(await bus.control.read(), await bus.presences()),
  );

  app.post(
    '/api/control',
    {
      config: { scope: 'admin' },
      schema: {
        operationId: 'commandFleet',
        tags: ['control'],
        summary: 'Give the fleet, or a part of it, a command',
        description: `The answer is the new state. Instances confirm within about two seconds: ask again, and compare
\`confirmed_epoch\` with \`epoch\`.`,
        body: controlCommand,
        response: { 200: controlState, 404: refusal(404) },
      },
    },
    async ({ body, actor }) => {
      // A hold on a task that does not exist would lie there for ever; to lift one must always be possible.
      if (body.scope?.task !== undefined && body.command !== 'RESUME_ALL') await knownStatus(fleet, body.scope.task);
      const state = await bus.control.command(body.command, scopeOf(body.scope), actor);
      return show(state, await bus.presences());
    },
  );
};

type State = Awaited<ReturnType<Fleet['bus']['control']['read']>>;
type Instances = Awaited<ReturnType<Fleet['bus']['presences']>>;

const show = ({ state, epoch, scopes, by, at }: State, presences: Instances): ControlState => ({
  state,
  epoch,
  scopes,
  by,
  at,
  instances: presences.map((presence) => ({
    instance_id: presence.instance_id,
    service: presence.service,
    state: presence.state,
    busy: presence.busy,
    confirmed_epoch: presence.confirmed_epoch,
    survivors: presence.survivors,
  })),
});

type Scope = Parameters<Fleet['bus']['control']['command']>[1];

/** Exactly one part is named; the schema has seen to that. */
const scopeOf = (scope: ControlScope | undefined): Scope => (scope === undefined ? null : (scope as Scope));
