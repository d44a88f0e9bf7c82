/** The agents, and the workers that run them. */
import { agentList } from '@nexus/shared/client/api';
import { readStats } from '@nexus/shared/ledger';
import type { Api, Fleet } from '../fleet.ts';
import { showAgents } from '../show-agents.ts';

export const agentRoutes = (app: Api, { bus, catalog }: Fleet): void => {
  app.get(
    '/api/agents',
    {
      config: { scope: 'read' },
      schema: {
        operationId: 'listAgents',
        tags: ['agents'],
        summary: 'Who there is, and what they do right now',
        response: { 200: agentList },
      },
    },
    async () => {
      const today = new Date().toISOString().slice(0, 10);
      const [presences, stats, { state }] = await Promise.all([
        bus.presences(),
        readStats(bus.store, bus.keys, today),
        bus.control.read(),
      ]);
      return showAgents({ agents: catalog.agents.values(), presences, stats, control: state, fabric: bus.health() });
    },
  );
};
