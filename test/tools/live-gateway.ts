/** A gateway that listens, on a real fabric, spoken to by the real client; the other services are played by tests. */
import { type Bus, done } from '@nexus/shared/bus';
import { foldersOf, openLiveCatalog } from '@nexus/shared/catalog';
import { type Client, ClientProblem, openClient } from '@nexus/shared/client';
import { loadConfig } from '@nexus/shared/config';
import { writeTask } from '@nexus/shared/ledger/write';
import type { TaskHead, TaskRequest, TaskStatus } from '@nexus/shared/messages/domain';
import { openMeters, silentLog } from '@nexus/shared/telemetry';
import { expect, onTestFinished } from 'vitest';
import { gatewayConfig } from '../../services/gateway/config.ts';
import { composeServer } from '../../services/gateway/server.ts';
import { eventually } from './eventually.ts';
import { consumeAll } from './messages.ts';
import { type TestFabric, testFabric } from './redis.ts';
import { taskHeadOf } from './task-head.ts';

export const token = 'the-token-of-this-test';

export type Served = { fabric: TestFabric; bus: Bus; client: Client; url: string; closing: AbortController };

const listen = async (fabric: TestFabric, env: Record<string, string>) => {
  const bus = await fabric.open('gateway', { observer: true });
  const closing = new AbortController();
  const config = { ...fabric.config, ...loadConfig(gatewayConfig, { NEXUS_TOKEN: token, ...env }) };
  const log = silentLog();
  const catalog = await openLiveCatalog({ folders: foldersOf(config), bus, log, everyMs: config.catalogEvery });
  const app = await composeServer({
    bus,
    catalog,
    config,
    version: '0.0.0-test',
    log,
    meters: openMeters('gateway'),
    closing: closing.signal,
  });
  const url = await app.listen({ host: '127.0.0.1', port: 0 });
  onTestFinished(async () => {
    closing.abort();
    await catalog.close();
    await app.close();
  });
  return { bus, url, closing };
};

/** A gateway that listens, and unless told otherwise one worker that can run commands. */
export const serve = async (env: Record<string, string> = {}, options: { worker?: boolean } = {}): Promise<Served> => {
  const fabric = testFabric();
  const { bus, url, closing } = await listen(fabric, env);
  if (options.worker !== false) {
    const worker = await fabric.open('worker-agent');
    worker.present({ runtimes: [{ name: 'command', usable: true, looked: 'the test says so', mend: '' }] });
    await eventually('the worker has told what it can', async () =>
      (await bus.presences()).some(({ runtimes }) => runtimes.length > 0),
    );
  }
  return { fabric, bus, client: openClient({ url, token }), url, closing };
};

/** Another gateway on the same fabric. */
export const beside = async (fabric: TestFabric): Promise<Client> => {
  const { url } = await listen(fabric, {});
  return openClient({ url, token });
};

export const refusal = async (work: Promise<unknown>): Promise<ClientProblem> => {
  const thrown = await work.then(
    (answer) => answer,
    (error: unknown) => error,
  );
  expect(thrown).toBeInstanceOf(ClientProblem);
  return thrown as ClientProblem;
};

/** An orchestrator that only writes the task down, in the given state. */
export const writeDown = async (
  fabric: TestFabric,
  status: TaskStatus,
  more: Partial<TaskHead> = {},
): Promise<string[]> => {
  const bus = await fabric.open('orchestrator');
  const kinds: string[] = [];
  consumeAll(bus, 'orchestrator', {
    work: async (message) => {
      const kind = message.type as string;
      kinds.push(kind);
      if (kind !== 'task.submitted') return done();
      const payload = message.payload as { task_id: string; request?: TaskRequest; request_key?: string };
      const text = payload.request_key === undefined ? null : await bus.store.readText(payload.request_key);
      const request = payload.request ?? (JSON.parse(text ?? '') as TaskRequest);
      const now = new Date().toISOString();
      const { priority = 'NORMAL' } = request;
      const told = { title: request.request.slice(0, 200), status, priority, actor: 'token:admin' };
      const head = taskHeadOf(payload.task_id, { ...told, created_at: now, updated_at: now, ...more });
      return done({ write: writeTask(bus.keys, payload.task_id, 0, { head, request }) });
    },
  });
  return kinds;
};
