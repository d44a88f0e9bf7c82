/**
 * The description of the API: OpenAPI 3.1 at /openapi.json, generated from the schemas that validate, and
 * readable at /api/docs with everything served from here.
 */
import swagger from '@fastify/swagger';
import swaggerUi from '@fastify/swagger-ui';
import { problem } from '@nexus/shared/client/api';
import { type AppError, fail } from '@nexus/shared/errors';
import type { FastifyInstance, RouteOptions } from 'fastify';
import { jsonSchemaTransform, jsonSchemaTransformObject } from 'fastify-type-provider-zod';
import { z } from 'zod';
import { invalid, malformed, problemOf } from './problem.ts';

/** Registers the document and its pages; must come before the routes. */
export const describeApi = async (app: FastifyInstance, version: string): Promise<void> => {
  await app.register(swagger, {
    openapi: {
      openapi: '3.1.0',
      info: {
        title: 'NEXUS',
        version,
        summary: 'A fleet of AI software agents.',
        description: about,
        license: { name: 'MIT', identifier: 'MIT' },
      },
      servers: [{ url: '/', description: 'This gateway' }],
      tags: tags.map(([name, description]) => ({ name, description })),
      components: { securitySchemes: { bearer: { type: 'http', scheme: 'bearer', description: aboutToken } } },
    },
    transform: jsonSchemaTransform,
    transformObject: (input) => tidyDocument(jsonSchemaTransformObject(input) as Document) as never,
  });
  app.get('/openapi.json', { schema: { hide: true }, config: { scope: 'open' } }, () => app.swagger());
  await app.register(swaggerUi, {
    routePrefix: '/api/docs',
    theme: { title: 'NEXUS API' },
    logo: { type: 'image/svg+xml', content: logo },
    uiConfig: { docExpansion: 'list', deepLinking: true, persistAuthorization: true },
    // Nothing is fetched from elsewhere, so that the pages work without internet.
    staticCSP: {
      'default-src': "'self'",
      'script-src': "'self' 'unsafe-inline'",
      'style-src': "'self' 'unsafe-inline'",
      'img-src': "'self' data:",
      'frame-ancestors': "'none'",
    },
  });
};

/**
 * Completes a route that is about to be added: its security, and the refusals that every route of its
 * kind can answer with. A route without a scope is a mistake of ours, and stops the start.
 */
export const describeRoute = (route: RouteOptions): void => {
  const schema = route.schema as Record<string, unknown> | undefined;
  if (route.url.startsWith('/api/docs')) route.config = { ...route.config, scope: 'open' };
  const scope = route.config?.scope;
  if (scope === undefined) throw new Error(`${String(route.method)} ${route.url} declares no scope`);
  if (schema === undefined || schema.hide === true) return;
  // The HEAD route of a GET shares its schema, which is complete by then.
  if (schema.security !== undefined) return;
  const open = scope === 'open';
  schema.security = open ? [] : [{ bearer: [scope] }];
  if (!open) schema.description = `${schema.description ?? ''}\n\nNeeds the scope \`${scope}\`.`.trim();
  const refusals = [...(open ? [] : [401]), 403, ...(schema.body ? [400, 413, 415] : [])];
  const takesInput = schema.body ?? schema.querystring ?? schema.params;
  const declared = schema.response as Record<string, unknown>;
  for (const status of [...refusals, ...(takesInput ? [422] : []), 500, 503]) declared[status] ??= refusal(status);
};

/** The schema of a refusal, for routes that answer with more than what all of them do. */
export const refusal = (status: keyof typeof refusals | number) => ({
  description: refusals[status as keyof typeof refusals] ?? 'Refused',
  content: { 'application/problem+json': { schema: problem } },
});

const refusals = {
  400: 'The body cannot be read',
  401: 'No token, or a wrong one',
  403: 'A token without the scope, or a foreign Host or Origin',
  404: 'There is no such thing',
  409: 'Not in its present state',
  413: 'The body is too large',
  415: 'The body is not JSON',
  422: 'A field is not right; `problems` names it',
  500: 'A mistake of ours',
  503: 'Not now; Retry-After says when to come again',
} as const;

export const text = (description: string) => z.string().meta({ description });

const logo = `<svg xmlns="http://www.w3.org/2000/svg" width="120" height="32" viewBox="0 0 120 32">
<text x="0" y="24" font-family="sans-serif" font-size="24" font-weight="700" letter-spacing="3" fill="#fff">NEXUS</text>
</svg>`;

const about = `Requests go in, tested and merged branches come out. All bodies are JSON in snake_case; refusals are
problem details (RFC 9457) whose \`code\` is what programs match on.`;
const aboutToken = 'The token that `nexus token` prints. Scopes: read, operate, admin; each includes those before it.';
const tags: [string, string][] = [
  ['tasks', 'What people ask for'],
  ['agents', 'Who does it'],
  ['memory', 'What agents have learned'],
  ['sessions', 'The conversations of agents'],
  ['cost', 'What was spent, and what may be'],
  ['control', 'Stop, pause, resume'],
  ['dead letters', 'Messages that nobody could handle'],
  ['events', 'Everything as it happens'],
  ['system', 'Health, metrics, instances'],
];

// --- the document, tidied ----------------------------------------------------------------------

type Json = null | boolean | number | string | Json[] | { [key: string]: Json };
type Document = { [key: string]: Json } & { components: { schemas: Record<string, Json> } };

/**
 * Keeps the schemas that something refers to, and names them by their ids: a schema that is only ever
 * read from callers needs no `Input` at its end.
 */
const tidyDocument = (document: Document): Document => {
  const { schemas } = document.components;
  const { components: _, ...rest } = document;
  const reached = new Set<string>();
  const pending = refsIn(rest as Json);
  for (let name = pending.pop(); name !== undefined; name = pending.pop()) {
    if (reached.has(name) || schemas[name] === undefined) continue;
    reached.add(name);
    pending.push(...refsIn(schemas[name] ?? null));
  }
  const named = (name: string): string => {
    const short = name.replace(/Input$/, '');
    const same = JSON.stringify(schemas[short]) === JSON.stringify(schemas[name]);
    return reached.has(short) && !same ? name : short;
  };
  const kept = [...reached].sort().map((name) => [named(name), withExamples(named(name), schemas[name] ?? {})]);
  addRefusals(document.paths as Record<string, Record<string, Operation>>);
  const whole = { ...document, components: { ...document.components, schemas: Object.fromEntries(kept) } };
  return mapTexts(whole, (key, text) => {
    if (key === '$ref' && text.startsWith(prefix)) return prefix + named(text.slice(prefix.length));
    return key === 'description' && text === 'Default Response' ? 'The answer' : text;
  }) as Document;
};

type Operation = { responses?: Record<string, { content?: Record<string, { [key: string]: Json }> }> };

/** Each refusal shows a problem of its own status and path; a status that is not known here shows none. */
const addRefusals = (paths: Record<string, Record<string, Operation>>): void => {
  for (const [path, methods] of Object.entries(paths)) {
    for (const { responses = {} } of Object.values(methods)) {
      for (const [status, { content }] of Object.entries(responses)) {
        const shown = content?.['application/problem+json'];
        const error = refused(status, path);
        if (shown !== undefined && error !== null) shown.example = problemOf(error, path) as unknown as Json;
      }
    }
  }
};

const heldExample = { session: '4fe9794f-985d-413d-a303-872935aa65c6', instance: 'worker-agent-a-1' };

const refused = (status: string, path: string): AppError | null => {
  const task = 'create-a-simple-hello-k3x7qa';
  switch (status) {
    case '400':
      return malformed('Unexpected end of JSON input');
    case '401':
      return fail('UNAUTHENTICATED');
    case '403':
      return fail('HOST_FOREIGN', { header: 'Host', value: 'evil.example', setting: 'NEXUS_HOSTS' });
    case '404':
      if (path.includes('/sessions')) return fail('SESSION_UNKNOWN', { session: heldExample.session });
      if (path.includes('/memory')) return fail('MEMORY_UNKNOWN', { id: 'mk3x7qa2bcde4' });
      return path.includes('dead-letters')
        ? fail('LETTER_UNKNOWN', { id: '0198c1d2' })
        : fail('TASK_UNKNOWN', { task });
    case '409':
      if (path.includes('/sessions')) return fail('SESSION_HELD', heldExample);
      return path.includes('dead-letters')
        ? fail('LETTER_LATE', { id: '0198c1d2', state: `task ${task} is completed` })
        : fail('TASK_ENDED', { task, status: 'completed' });
    case '413':
      return fail('REQUEST_TOO_LARGE', { bytesMax: 262_144 });
    case '415':
      return fail('BODY_FOREIGN', { type: 'text/plain' });
    case '422':
      return invalid([{ field: 'colour', says: 'is not known here' }]);
    case '503':
      return fail('REDIS_UNREACHABLE', { url: 'its address', message: 'connection refused' });
    default:
      return null;
  }
};

const prefix = '#/components/schemas/';

const refsIn = (value: Json): string[] => {
  if (Array.isArray(value)) return value.flatMap(refsIn);
  if (value === null || typeof value !== 'object') return [];
  const own = typeof value.$ref === 'string' && value.$ref.startsWith(prefix) ? [value.$ref.slice(prefix.length)] : [];
  return [...own, ...Object.values(value).flatMap(refsIn)];
};

/** The same document with every text put through `map`. */
const mapTexts = (value: Json, map: (key: string, text: string) => string): Json => {
  if (Array.isArray(value)) return value.map((part) => mapTexts(part, map));
  if (value === null || typeof value !== 'object') return value;
  const entries = Object.entries(value).map(([key, part]): [string, Json] => [
    key,
    typeof part === 'string' ? map(key, part) : mapTexts(part, map),
  ]);
  return Object.fromEntries(entries);
};

const withExamples = (name: string, schema: Json): Json =>
  examples[name] === undefined || schema === null || typeof schema !== 'object' || Array.isArray(schema)
    ? schema
    : { ...schema, examples: examples[name] };

/** What a reader can copy; the test of this file parses each by its schema. */
export const examples: Record<string, Json[]> = {
  TaskRequest: [
    { request: 'Create a simple hello world function' },
    {
      request: 'Build a secure user authentication system',
      priority: 'high',
      context: { project_type: 'web_application', technologies: ['Node.js', 'PostgreSQL', 'JWT'] },
    },
    {
      request: 'Add CSV export to the report page',
      repository: 'https://example.com/shop.git',
      workflow: 'feature',
      mode: 'parallel',
      checks: [{ name: 'tests', command: 'npm test' }],
    },
  ],
  TaskAccepted: [
    {
      task_id: 'create-a-simple-hello-k3x7qa',
      status: 'accepted',
      estimated_completion: null,
      assigned_agents: [],
      tracking_url: '/api/tasks/create-a-simple-hello-k3x7qa',
      warnings: [],
    },
  ],
  MemoryGiven: [
    { content: 'Money is in cents, never in floats', repository: 'https://example.com/shop.git', tags: ['money'] },
  ],
  DeadLetterEdit: [{ merge: { task_id: 'create-a-simple-hello-k3x7qa' } }, { type: 'task.submitted' }],
  DeadLettersDecision: [{ filter: { code: 'RETRIES_EXHAUSTED', older_than: '1h' } }, { all: true, limit: 10 }],
  ControlCommand: [{ command: 'STOP_ALL' }, { command: 'PAUSE_ALL', scope: { agent: 'code_developer' } }],
};
