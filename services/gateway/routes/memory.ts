/** Memories: what agents have learned, and what people want them to know. */
import {
  memoriesForgotten,
  memoryForgotten,
  memoryGiven,
  memoryKept,
  memoryList,
  memoryQuery,
  memoryShown,
  ofMemory,
} from '@nexus/shared/client/api';
import { secretValues } from '@nexus/shared/config';
import { fail } from '@nexus/shared/errors';
import { agentScope, type Memories, type Memory, openMemory, projectScope } from '@nexus/shared/memory';
import { openEmbed } from '@nexus/shared/model';
import { embeddingGate } from '@nexus/shared/spend';
import { openRedactor } from '@nexus/shared/telemetry';
import type { Api, Fleet } from '../fleet.ts';
import { refusal } from '../openapi.ts';
import { spendingOf } from '../spending.ts';

/** Opens the memories at the first call: nothing of Redis is touched before. */
type Open = () => Memories;

export const memoryRoutes = (app: Api, fleet: Fleet): void => {
  let opened: Memories | undefined;
  const open: Open = () => {
    const { bus, config: settings, log } = fleet;
    if (opened !== undefined) return opened;
    const redact = openRedactor(secretValues()).text;
    const spending = spendingOf(fleet);
    const gate = embeddingGate(spending, bus.instanceId);
    const embed = openEmbed(settings, { gate, priceOf: spending.prices.costOf });
    opened = openMemory({ side: bus.side, keys: bus.keys, settings, redact, embed, log });
    return opened;
  };
  addReading(app, open);
  addKeeping(app, open);
  addForgetting(app, open);
};

const addReading = (app: Api, open: Open): void => {
  app.get(
    '/api/memory',
    {
      config: { scope: 'read' },
      schema: {
        operationId: 'listMemories',
        tags: ['memory'],
        summary: 'Memories, the newest first; or those that are about something, the best first',
        querystring: memoryQuery,
        response: { 200: memoryList },
      },
    },
    async ({ query }) => {
      const { q, tag, limit, offset } = query;
      const scope = scopeOf(query);
      const scopes = await open().scopes();
      if (q !== undefined || tag !== undefined) {
        const asked = scope === undefined ? scopes.map((one) => one.scope) : [scope];
        const found = await open().recall({
          scopes: asked,
          about: q ?? '',
          tags: tag === undefined ? [] : [tag],
          limit,
        });
        const memories = found.map(({ memory, rank, fit }) => ({ ...memory, score: rank, fit }));
        return { memories, total: memories.length, next_offset: null, scopes };
      }
      const { memories, total } = await open().list({ ...(scope === undefined ? {} : { scope }), limit, offset });
      const next = offset + limit;
      return { memories: memories.map(unsought), total, next_offset: next < total ? next : null, scopes };
    },
  );

  app.get(
    '/api/memory/:id',
    {
      config: { scope: 'read' },
      schema: {
        operationId: 'showMemory',
        tags: ['memory'],
        summary: 'One memory, with where it comes from and how often it was used',
        params: ofMemory,
        response: { 200: memoryShown, 404: refusal(404) },
      },
    },
    async ({ params }) => unsought(await open().show(params.id)),
  );
};

const addKeeping = (app: Api, open: Open): void => {
  app.post(
    '/api/memory',
    {
      config: { scope: 'operate' },
      schema: {
        operationId: 'addMemory',
        tags: ['memory'],
        summary: 'Let agents know something from now on',
        description: `It comes into the prompts that it fits: of an agent, of a project, or, where neither is named, of
all. Secrets in it are taken out.`,
        body: memoryGiven,
        response: { 201: memoryKept },
      },
    },
    async ({ body, actor }, reply) => {
      const { content, tags, importance } = body;
      const scope = scopeOf(body) ?? 'shared';
      const source = { kind: 'note' as const, by: actor, at: new Date().toISOString() };
      const draft = { scope, content, tags, importance, source, key: `${actor}/${content.trim()}`.slice(0, 300) };
      const { id, how } = await open().remember(draft);
      reply.code(201);
      return { status: how, memory: await open().show(id) };
    },
  );
};

const addForgetting = (app: Api, open: Open): void => {
  app.delete(
    '/api/memory/:id',
    {
      config: { scope: 'operate' },
      schema: {
        operationId: 'forgetMemory',
        tags: ['memory'],
        summary: 'Forget one',
        params: ofMemory,
        response: { 200: memoryForgotten, 404: refusal(404) },
      },
    },
    async ({ params: { id } }) => {
      const forgotten = await open().remove({ ids: [id] });
      if (forgotten === 0) throw fail('MEMORY_UNKNOWN', { id });
      return { forgotten };
    },
  );

  app.delete(
    '/api/memory',
    {
      config: { scope: 'admin' },
      schema: {
        operationId: 'forgetMemories',
        tags: ['memory'],
        summary: 'Forget what a task has left, or all of an agent, of a project, or of those that are shared',
        querystring: memoriesForgotten,
        response: { 200: memoryForgotten },
      },
    },
    async ({ query }) => {
      const scope = scopeOf(query);
      const which = scope === undefined ? { task: query.task ?? '' } : { scope };
      return { forgotten: await open().remove(which) };
    },
  );
};

type Whose = { scope?: string | undefined; agent?: string | undefined; repository?: string | undefined };

const scopeOf = ({ scope, agent, repository }: Whose): string | undefined => {
  if (agent !== undefined) return agentScope(agent);
  return repository === undefined ? scope : projectScope(repository);
};

const unsought = (memory: Memory) => ({ ...memory, score: null, fit: null });
