/**
 * The agents: who there is, what they do right now, and the definitions that the whole fleet is given. The gateway is
 * the only writer of those; every service reads them again within seconds (NEXUS_CATALOG_EVERY).
 */
import {
  type AgentDefinition,
  foldersOf,
  importOne,
  lettersLeftOut,
  openCatalog,
  openSharedWriter,
  originOf,
  readAgent,
  readSharedAgents,
  refuseRetired,
  type SharedAgent,
  type SharedWriter,
  sizeProblem,
  writeAgent,
} from '@nexus/shared/catalog';
import {
  type AgentDetail,
  type AgentGiven,
  agentChecked,
  agentDetail,
  agentGiven,
  agentList,
  agentRemoved,
} from '@nexus/shared/client/api';
import { fail, isFailure } from '@nexus/shared/errors';
import { readStats } from '@nexus/shared/ledger';
import { agentId } from '@nexus/shared/messages/domain';
import { z } from 'zod';
import { openSubtasksOf } from '../agents-in-use.ts';
import type { Api, Fleet } from '../fleet.ts';
import { refusal } from '../openapi.ts';
import { showAgents } from '../show-agents.ts';

const ofAgent = z.strictObject({ id: agentId });

export const agentRoutes = (app: Api, fleet: Fleet): void => {
  addReading(app, fleet);
  addChecking(app, fleet);
  let writer: SharedWriter | null = null;
  const writerOf = () => {
    writer ??= openSharedWriter(fleet.bus, fleet.config.definitionsMax);
    return writer;
  };
  addGiving(app, fleet, writerOf);
  addRemoving(app, fleet, writerOf);
};

const addReading = (app: Api, { bus, catalog }: Fleet): void => {
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

  app.get(
    '/api/agents/:id',
    {
      config: { scope: 'read' },
      schema: {
        operationId: 'showAgent',
        tags: ['agents'],
        summary: 'One definition, with its Markdown',
        params: ofAgent,
        response: { 200: agentDetail, 404: refusal(404) },
      },
    },
    async ({ params }) => {
      await catalog.refresh?.();
      const agent = known(catalog, params.id);
      const { agents } = await readSharedAgents(bus);
      return show(agent, agents.get(agent.agent_id));
    },
  );
};

const addChecking = (app: Api, fleet: Fleet): void => {
  app.post(
    '/api/agents/validate',
    {
      config: { scope: 'read' },
      schema: {
        operationId: 'validateAgent',
        tags: ['agents'],
        summary: 'Whether a definition or a profile holds; nothing is changed',
        body: agentGiven,
        response: { 200: agentChecked },
      },
    },
    async ({ body }) => {
      try {
        const { source, agent, notices } = read(fleet, body);
        return { valid: true, problem: null, agent_id: agent.agent_id, source, notices };
      } catch (thrown) {
        if (!isFailure(thrown, 'DEFINITION_INVALID')) throw thrown;
        return { valid: false, problem: thrown.message, agent_id: null, source: null, notices: [] };
      }
    },
  );
};

const addGiving = (app: Api, fleet: Fleet, writerOf: () => SharedWriter): void => {
  const { catalog } = fleet;
  app.post(
    '/api/agents',
    {
      config: { scope: 'operate' },
      schema: {
        operationId: 'addAgent',
        tags: ['agents'],
        summary: 'Give the fleet an agent',
        description: 'All services on all machines see it within seconds. One of the same id is refused: update it.',
        body: agentGiven,
        response: { 201: agentDetail, 409: refusal(409) },
      },
    },
    async ({ body, actor }, reply) => {
      const { source, agent, notices } = read(fleet, body);
      await catalog.refresh?.();
      const there = catalog.agents.get(agent.agent_id);
      if (there) throw fail('AGENT_EXISTS', { agent: agent.agent_id, origin: words[originOf(there)] });
      checkName(fleet, agent);
      const stored = await writerOf().put(agent.agent_id, source, actor, 0);
      await catalog.refresh?.();
      return reply.code(201).send({ ...show(agent, stored), notices });
    },
  );

  app.put(
    '/api/agents/:id',
    {
      config: { scope: 'operate' },
      schema: {
        operationId: 'updateAgent',
        tags: ['agents'],
        summary: 'Change an agent for the whole fleet',
        description: `In place of a built-in agent, or one of a folder, the new definition stands until it is removed.
Attempts that have begun go on with what they began with.`,
        params: ofAgent,
        body: agentGiven,
        response: { 200: agentDetail, 404: refusal(404), 409: refusal(409) },
      },
    },
    async ({ params: { id }, body, actor }) => {
      const { source, agent, notices } = read(fleet, body);
      await catalog.refresh?.();
      known(catalog, id);
      if (agent.agent_id !== id) {
        const problem = `agent_id: it is "${agent.agent_id}", and "${id}" is to be changed`;
        throw fail('DEFINITION_INVALID', { file: 'The body', problem });
      }
      checkName(fleet, agent);
      const stored = await writerOf().put(id, source, actor, body.revision ?? null);
      await catalog.refresh?.();
      return { ...show(agent, stored), notices };
    },
  );
};

const addRemoving = (app: Api, { bus, catalog, config }: Fleet, writerOf: () => SharedWriter): void => {
  app.delete(
    '/api/agents/:id',
    {
      config: { scope: 'admin' },
      schema: {
        operationId: 'removeAgent',
        tags: ['agents'],
        summary: 'Take an agent from the fleet',
        description: `Only what the fleet was given; what it stood in place of stands again. Refused while open subtasks
are planned for it, unless by force: whoever else has the role takes over from it then, and where nobody has it, the
subtask waits for a person. Attempts that have begun go on.`,
        params: ofAgent,
        querystring: z.strictObject({
          force: z.stringbool().default(false),
          revision: z.coerce.number().int().positive().optional(),
        }),
        response: { 200: agentRemoved, 404: refusal(404), 409: refusal(409) },
      },
    },
    async ({ params: { id }, query: { force, revision } }) => {
      await catalog.refresh?.();
      const agent = known(catalog, id);
      const origin = originOf(agent);
      if (origin !== 'fleet') throw fail('AGENT_GIVEN', { agent: id, origin: words[origin] });
      const used = await openSubtasksOf(bus, id);
      const { agents } = await readSharedAgents(bus);
      const shared = new Map([...agents].filter(([one]) => one !== id));
      // What this agent stood in place of stands again, unless a broken file beside it keeps all from being read.
      const without =
        used.length === 0 ? catalog : await openCatalog({ ...foldersOf(config), shared }).catch(() => null);
      const isLeft = (role: string): boolean =>
        without === null
          ? catalog.candidatesFor(role).every(({ agent_id }) => agent_id === id)
          : without.candidatesFor(role).length === 0;
      const orphaned = used.filter(({ role }) => isLeft(role)).map(({ at }) => at);
      if (used.length > 0 && !force) {
        const subtasks = used.map(({ at }) => at).join(', ');
        const left = `Nobody else has the role of ${orphaned.join(', ')}: by force that waits for a person.`;
        throw fail('AGENT_IN_USE', { agent: id, subtasks, after: orphaned.length > 0 ? left : othersTakeOver });
      }
      await writerOf().remove(id, revision ?? null);
      await catalog.refresh?.();
      const stands = catalog.agents.get(id);
      return { agent_id: id, status: 'removed' as const, stands: stands ? originOf(stands) : null, orphaned };
    },
  );
};

const othersTakeOver = 'By force others take over.';

const words = { built_in: 'built in', folder: 'from a folder of this machine', fleet: 'given to the fleet' } as const;

const known = (catalog: Fleet['catalog'], id: string): AgentDefinition => {
  const agent = catalog.agents.get(id);
  if (agent) return agent;
  throw fail('AGENT_UNKNOWN', { agent: id, known: [...catalog.agents.keys()].sort().join(', ') });
};

/** Commits carry the name of whoever made them, so no two agents have the same. */
const checkName = ({ catalog }: Fleet, { agent_id, name }: AgentDefinition): void => {
  const twin = [...catalog.agents.values()].find(
    (other) => other.agent_id !== agent_id && other.name.toLowerCase() === name.toLowerCase(),
  );
  if (twin === undefined) return;
  throw fail('DEFINITION_INVALID', { file: 'The body', problem: `name: "${name}" is the name of ${twin.agent_id}` });
};

type Read = { source: string; agent: AgentDefinition; notices: string[] };

/** What the body gives, checked. Throws DEFINITION_INVALID. */
const read = ({ config }: Fleet, { source, profile }: AgentGiven): Read => {
  const file = 'The body';
  const given = profile === undefined ? ofSource(file, source ?? '') : importOne(file, profile);
  const problem = sizeProblem(given.source, config);
  if (problem === null) return given;
  throw fail('DEFINITION_INVALID', { file, problem });
};

const ofSource = (file: string, source: string): Read => {
  const agent = readAgent(file, source);
  if (agent === null) {
    const problem = 'line 1: there is no front matter; it begins with a line of three dashes';
    throw fail('DEFINITION_INVALID', { file, problem });
  }
  refuseRetired(file, source, agent);
  return { source, agent, notices: lettersLeftOut(agent) };
};

const show = (agent: AgentDefinition, stored: SharedAgent | undefined): AgentDetail => ({
  agent_id: agent.agent_id,
  name: agent.name,
  role: agent.role,
  description: agent.description,
  origin: stored ? 'fleet' : originOf(agent),
  model: agent.model,
  tools: agent.tools,
  disallowed_tools: agent.disallowed_tools ?? [],
  traits: agent.traits,
  expertise: agent.expertise,
  capabilities: agent.capabilities,
  source: stored?.source ?? writeAgent(agent),
  revision: stored?.revision ?? null,
  changed_by: stored?.by ?? null,
  changed_at: stored?.at ?? null,
  notices: [],
});
