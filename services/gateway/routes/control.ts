/** Stop, pause, resume, drain: the whole fleet, or a part of it. */

import { stateUnder } from '@nexus/shared/bus';
import { type ControlScope, type ControlState, controlCommand, controlState } from '@nexus/shared/client/api';
import { fail } from '@nexus/shared/errors';
import type { Api, Fleet } from '../fleet.ts';
import { refusal } from '../openapi.ts';

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
\`confirmed_epoch\` with \`epoch\`; of a part, \`running\` tells what still runs of it.`,
        body: controlCommand,
        response: { 200: controlState, 404: refusal(404), 409: refusal(409) },
      },
    },
    async ({ body: { command, scope }, actor }) => {
      if (command !== 'RESUME_ALL') checkAgent(fleet, scope?.agent);
      await bus.control.demand(command, scopeOf(scope));
      const state = await bus.control.command(command, scopeOf(scope), actor);
      return show(state, await bus.presences());
    },
  );
};

/** What project managers tell is not needed here: the catalog says which agents there are. */
const checkAgent = ({ catalog }: Fleet, agent: string | undefined): void => {
  if (agent === undefined || catalog.agents.has(agent)) return;
  throw fail('CONTROL_TARGET', { kind: 'agent', id: agent, known: knownOf([...catalog.agents.keys()]) });
};

const knownOf = (ids: string[]): string => (ids.length === 0 ? 'None is alive.' : `There are: ${ids.join(', ')}.`);

type State = Awaited<ReturnType<Fleet['bus']['control']['read']>>;
type Instances = Awaited<ReturnType<Fleet['bus']['presences']>>;

const show = (
  { state, epoch, scopes, said, by, at, refused, refusals }: State,
  presences: Instances,
): ControlState => ({
  state,
  epoch,
  scopes,
  said,
  by,
  at,
  refused,
  refusals,
  instances: presences.map((presence) => ({
    instance_id: presence.instance_id,
    service: presence.service,
    host: presence.host,
    pid: presence.pid,
    state: stateUnder(scopes, presence),
    busy: presence.busy,
    running: presence.running,
    confirmed_epoch: presence.confirmed_epoch,
    survivors: presence.survivors,
  })),
});

type Scope = Parameters<Fleet['bus']['control']['command']>[1];

/** Exactly one part is named; the schema has seen to that. */
const scopeOf = (scope: ControlScope | undefined): Scope => (scope === undefined ? null : (scope as Scope));
