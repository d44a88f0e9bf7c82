/** Stop, pause, resume, drain: the whole fleet, or a part of it. */
import { type ControlScope, type ControlState, controlCommand, controlState } from '@nexus/shared/client/api';
import { fail } from '@nexus/shared/errors';
import { endedTask } from '@nexus/shared/messages/domain';
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
\`confirmed_epoch\` with \`epoch\`; of a part, \`running\` tells what still runs of it.`,
        body: controlCommand,
        response: { 200: controlState, 404: refusal(404), 409: refusal(409) },
      },
    },
    async ({ body: { command, scope }, actor }) => {
      const before = await bus.control.read();
      if (command === 'RESUME_ALL') checkHeld(before, scope);
      else if (scope !== undefined) await checkTarget(fleet, scope);
      const state = await bus.control.command(command, scopeOf(scope), actor);
      return show(state, await bus.presences());
    },
  );
};

/** Nothing is resumed that is not held: whoever says so means something else. */
const checkHeld = ({ state, scopes }: State, scope: ControlScope | undefined): void => {
  const [field = ''] = Object.entries(scope ?? {}).map(([kind, id]) => `${kind}:${id}`);
  const held = Object.entries(scopes).map(([part, is]) => `${part} (${is})`);
  if (scope === undefined ? state !== 'running' : scopes[field] !== undefined) return;
  const fleet = scope === undefined || state === 'running' ? '' : `The fleet as a whole is ${state}. `;
  throw fail('CONTROL_IDLE', {
    what: scope === undefined ? 'the fleet' : field.replace(':', ' '),
    held: `${fleet}${held.length === 0 ? 'No part is held by itself.' : `Held by themselves: ${held.join(', ')}.`}`,
  });
};

/** A hold on what does not exist would lie there for ever. */
const checkTarget = async (fleet: Fleet, { task, agent, instance }: ControlScope): Promise<void> => {
  if (task !== undefined) {
    const status = await knownStatus(fleet, task);
    if (status !== 'unread' && endedTask(status)) throw fail('TASK_ENDED', { task, status });
  }
  if (agent !== undefined && !fleet.catalog.agents.has(agent)) {
    throw fail('CONTROL_TARGET', { kind: 'agent', id: agent, known: knownOf([...fleet.catalog.agents.keys()]) });
  }
  if (instance === undefined) return;
  const ids = (await fleet.bus.presences()).map(({ instance_id }) => instance_id);
  if (!ids.includes(instance)) throw fail('CONTROL_TARGET', { kind: 'instance', id: instance, known: knownOf(ids) });
};

const knownOf = (ids: string[]): string => (ids.length === 0 ? 'None is alive.' : `There are: ${ids.join(', ')}.`);

type State = Awaited<ReturnType<Fleet['bus']['control']['read']>>;
type Instances = Awaited<ReturnType<Fleet['bus']['presences']>>;

const show = ({ state, epoch, scopes, said, by, at }: State, presences: Instances): ControlState => ({
  state,
  epoch,
  scopes,
  said,
  by,
  at,
  instances: presences.map((presence) => ({
    instance_id: presence.instance_id,
    service: presence.service,
    host: presence.host,
    pid: presence.pid,
    state: presence.state,
    busy: presence.busy,
    running: presence.running,
    confirmed_epoch: presence.confirmed_epoch,
    survivors: presence.survivors,
  })),
});

type Scope = Parameters<Fleet['bus']['control']['command']>[1];

/** Exactly one part is named; the schema has seen to that. */
const scopeOf = (scope: ControlScope | undefined): Scope => (scope === undefined ? null : (scope as Scope));
