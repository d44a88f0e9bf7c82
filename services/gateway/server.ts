/**
 * The HTTP server, composed. The way of a request, and where it can end:
 *
 *   socket
 *     │ guard        a name that is not ours             403 HOST_FOREIGN
 *     │ auth         no token, the wrong scope           401 UNAUTHENTICATED, 403 FORBIDDEN
 *     │ body         too large, not JSON                 413, 415, 400
 *     │ validate     the route's zod schemas             422 REQUEST_INVALID, every field named
 *     │ handler      routes/<resource>.ts                what it throws, by the registry of errors
 *     │ serialize    the answer's zod schema             500 BUG
 *     ▼ observe      nexus_http_request_seconds
 *
 * Whatever is thrown on the way becomes problem details in `problem.ts`. To add a route: one entry in its
 * resource's file with a scope, schemas and a handler; without a scope the gateway does not start.
 */
import { isIP } from 'node:net';
import { isFailure } from '@nexus/shared/errors';
import fastify from 'fastify';
import { serializerCompiler, type ZodTypeProvider } from 'fastify-type-provider-zod';
import { openAuth, openKeys } from './auth.ts';
import type { Api, Fleet } from './fleet.ts';
import { openGuard } from './guard.ts';
import { describeApi, describeRoute } from './openapi.ts';
import { answerUnread, errorHandler, malformed, notFoundHandler, validatorCompiler } from './problem.ts';
import { agentRoutes } from './routes/agents.ts';
import { controlRoutes } from './routes/control.ts';
import { costRoutes } from './routes/cost.ts';
import { deadLetterRoutes } from './routes/dead-letters.ts';
import { eventRoutes } from './routes/events.ts';
import { evidenceRoutes } from './routes/evidence.ts';
import { memoryRoutes } from './routes/memory.ts';
import { planRoutes } from './routes/plan.ts';
import { questionRoutes } from './routes/questions.ts';
import { sessionRoutes } from './routes/sessions.ts';
import { systemRoutes } from './routes/system.ts';
import { taskRoutes } from './routes/tasks.ts';

/** Composes the server; it does not listen yet. Its `close()` ends what is under way. */
export const composeServer = async (fleet: Fleet): Promise<Api> => {
  const { config, bus, log, meters } = fleet;
  const app: Api = fastify({
    logger: false,
    bodyLimit: config.bodyBytesMax,
    // The longest id is a dead letter's; more is a path that does not exist.
    routerOptions: { maxParamLength: 200 },
    // Unknown hosts are refused by the guard with a sentence, not by the parser without one.
    http: { requireHostHeader: false },
    // What fails before a route is found: a path that cannot be decoded.
    frameworkErrors: errorHandler(log, config.command),
    // What fails before there is a request at all.
    clientErrorHandler: answerUnread,
  }).withTypeProvider<ZodTypeProvider>();
  app.setValidatorCompiler(validatorCompiler as never);
  app.setSerializerCompiler(serializerCompiler);
  app.setErrorHandler(errorHandler(log, config.command));
  app.setNotFoundHandler(notFoundHandler);
  takeJson(app);

  app.decorateRequest('actor', 'anyone');
  app.addHook('onRequest', openGuard(isIP(config.host) === 6 ? `[${config.host}]` : config.host, config.hosts));
  app.addHook('onRequest', openAuth(config.auth === 'off' ? null : await openKeys(config, bus)));
  // Without Redis a request would be answered late, or carried out when nobody waits for it any more. Where it only
  // takes no writes, what it holds is shown.
  app.addHook('onRequest', async ({ method, routeOptions }) => {
    const failure = bus.failure();
    // At maxmemory a STOP goes through, and all else is refused by Redis itself.
    if (failure === null || failure.code === 'BUS_MEMORY' || routeOptions.config.scope === 'open') return;
    const isRead = method === 'GET' || method === 'HEAD';
    if (!isRead || isFailure(failure, 'REDIS_UNREACHABLE', 'REDIS_LOADING')) throw failure;
  });
  app.addHook('onRoute', describeRoute);
  observe(app, meters);

  await describeApi(app, fleet.version);
  for (const addRoutes of [
    taskRoutes,
    questionRoutes,
    planRoutes,
    evidenceRoutes,
    agentRoutes,
    memoryRoutes,
    costRoutes,
    sessionRoutes,
    deadLetterRoutes,
    controlRoutes,
    eventRoutes,
    systemRoutes,
  ]) {
    addRoutes(app, fleet);
  }
  await app.ready();
  return app;
};

/** JSON alone; an empty body is none, so that a POST without one needs no `{}`. */
const takeJson = (app: Api): void => {
  const parse = app.getDefaultJsonParser('error', 'error');
  app.removeAllContentTypeParsers();
  app.addContentTypeParser<Buffer>('application/json', { parseAs: 'buffer' }, (request, body, finish) => {
    if (body.length === 0) return finish(null, undefined);
    const text = textOf(body);
    if (text === null) return finish(malformed('it is not UTF-8'), undefined);
    void parse(request, text, (error, value) => {
      finish(error === null ? null : malformed(problemIn(text) ?? 'a field is called __proto__ or constructor'), value);
    });
  });
};

/** Nothing is replaced silently: what is not UTF-8 is no text. */
const textOf = (body: Buffer): string | null => {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(body);
  } catch {
    return null;
  }
};

/** Where a text stops being JSON, in the words of its parser; null if it is JSON. */
const problemIn = (text: string): string | null => {
  try {
    JSON.parse(text);
    return null;
  } catch (error) {
    return (error as Error).message;
  }
};

/** One histogram; its labels are closed sets: the route as it is declared, never the path. */
const observe = (app: Api, meters: Fleet['meters']): void => {
  const seconds = meters.histogram(
    'nexus_http_request_seconds',
    'How long requests took, by route and status.',
    [0.002, 0.01, 0.05, 0.25, 1, 5],
    ['method', 'route', 'status'],
  );
  app.addHook('onResponse', async (request, reply) => {
    const route = request.routeOptions.url ?? 'unknown';
    seconds.labels(request.method, route, String(reply.statusCode)).observe(reply.elapsedTime / 1000);
  });
};
