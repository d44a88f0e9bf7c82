/** A gateway in process, over a fleet that is a plain object: for tests of its HTTP side. */
import type { Bus } from '@nexus/shared/bus';
import { keysOf } from '@nexus/shared/bus';
import { openCatalog } from '@nexus/shared/catalog';
import { problem } from '@nexus/shared/client/api';
import { fabricConfig, loadConfig } from '@nexus/shared/config';
import type { AppError } from '@nexus/shared/errors';
import type { Presence } from '@nexus/shared/messages/domain';
import { openMeters, silentLog } from '@nexus/shared/telemetry';
import { expect, onTestFinished } from 'vitest';
import { gatewayConfig } from '../../services/gateway/config.ts';
import { composeServer } from '../../services/gateway/server.ts';

const catalog = openCatalog();
type Drafted = Parameters<Bus['publish']>[0];
const token = 'a-token-that-is-long-enough';
export const bearer = { authorization: `Bearer ${token}` };

const worker = (runtimes: Presence['runtimes']): Presence => ({
  instance_id: 'worker-agent-a-1',
  service: 'worker-agent',
  host: 'a',
  pid: 1,
  port: null,
  started_at: '2026-11-20T10:00:00.000Z',
  version: '0.1.0',
  state: 'serving',
  slots: 2,
  busy: 0,
  epoch: 0,
  confirmed_epoch: 0,
  survivors: [],
  running: [],
  runtimes,
});
export const able = worker([
  { name: 'command', usable: true, looked: 'NEXUS_AGENT_COMMAND is set', mend: '' },
  { name: 'scripted', usable: true, looked: 'rehearsals are on', mend: '' },
]);
export const unable = worker([
  { name: 'command', usable: false, looked: 'NEXUS_AGENT_COMMAND is not set', mend: 'set NEXUS_AGENT_COMMAND' },
  { name: 'scripted', usable: true, looked: 'rehearsals are on', mend: '' },
]);

export type Given = {
  env?: Record<string, string>;
  presences?: Presence[];
  state?: string;
  memory?: number;
  /** What is wrong with Redis. */
  failure?: AppError | null;
};

/** Composes a gateway over a fleet that is a plain object; it is closed at the end of the test. */
export const serve = async (given: Given = {}) => {
  const { env = {}, presences = [able], state = 'running', memory = 0, failure = null } = given;
  const published: Drafted[] = [];
  const bus = {
    keys: keysOf('{test}'),
    store: {
      readHash: async () => ({}),
      readFields: async (_key: string, fields: string[]) => fields.map(() => null),
      readText: async () => null,
      readIndex: async () => [],
    },
    side: { register: () => undefined, run: async () => null, command: async () => [], read: async () => [] },
    control: { read: async () => ({ epoch: 0, state, scopes: {}, by: null, at: null }) },
    presences: async () => presences,
    accepted: async () => false,
    memoryShare: async () => memory,
    counts: async () => ({ dead: 0, oldest_dead_at: null, parked: 0, inboxes: {}, tasks: { open: 0, waiting: 0 } }),
    rememberOnce: async () => 'made-once',
    publish: async (draft: Drafted) => {
      published.push(draft);
      return { message_id: 'm', duplicate: false, stored: null };
    },
    failure: () => failure,
    health: () => ({ ok: true, says: 'Redis answers.', since: '2026-11-20T10:00:00.000Z' }),
  } as unknown as Bus;
  const config = loadConfig(
    { ...fabricConfig, ...gatewayConfig },
    { NEXUS_TOKEN: token, NEXUS_HOME: '/nowhere', ...env },
  );
  const app = await composeServer({
    bus,
    catalog: await catalog,
    config,
    version: '0.1.0',
    log: silentLog(),
    meters: openMeters('gateway'),
    closing: new AbortController().signal,
  });
  onTestFinished(() => app.close());
  const ask = (method: 'GET' | 'POST' | 'DELETE', url: string, body?: unknown, headers: Record<string, string> = {}) =>
    app.inject({
      method,
      url,
      headers: { ...bearer, ...headers },
      ...(body === undefined ? {} : { payload: body as object }),
    });
  return { app, ask, published, config };
};

/** The problem document of an answer. */
export const problemIn = (response: { body: string; headers: Record<string, unknown> }) => {
  expect(response.headers['content-type']).toContain('application/problem+json');
  return problem.parse(JSON.parse(response.body));
};
