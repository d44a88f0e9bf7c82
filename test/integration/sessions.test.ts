/** Sessions over HTTP: listed and shown as they stand now, with their transcripts, and ended by people. */

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { done } from '@nexus/shared/bus';
import { openCatalog } from '@nexus/shared/catalog';
import { openClient } from '@nexus/shared/client';
import { loadConfig } from '@nexus/shared/config';
import { commitEvidence, createHub, hubPath, refs } from '@nexus/shared/git';
import { readSession, type Session } from '@nexus/shared/ledger';
import { writeSession } from '@nexus/shared/ledger/write';
import { noUsage } from '@nexus/shared/spend';
import { openMeters, silentLog } from '@nexus/shared/telemetry';
import { expect, onTestFinished, test } from 'vitest';
import { gatewayConfig } from '../../services/gateway/config.ts';
import { composeServer } from '../../services/gateway/server.ts';
import { onSessionDismissed } from '../../services/worker-agent/on-session-dismissed.ts';
import { eventually } from '../tools/eventually.ts';
import { refusal, type Served, serve } from '../tools/live-gateway.ts';
import { handleAll } from '../tools/messages.ts';
import { testFabric } from '../tools/redis.ts';

const id = '4fe9794f-985d-413d-a303-872935aa65c6';

const keep = async (
  { fabric, bus }: Pick<Served, 'fabric' | 'bus'>,
  changes: Partial<Session> = {},
): Promise<Session> => {
  const at = new Date().toISOString();
  const session: Session = {
    session_id: id,
    runtime: 'claude-code',
    agent_id: 'code_developer',
    task_id: 'a-task',
    subtask_id: 'storage',
    attempt: 1,
    status: 'idle',
    created_at: at,
    last_activity: at,
    holder: null,
    instance_id: 'worker-agent-gone-1',
    host: 'gone',
    model: 'claude-opus-5-5',
    login: 'subscription',
    notional: true,
    context: { used: 250_000, window: 1_000_000 },
    cost: { usd: 0.5, tokens: 1000 },
    usd_total: 0.5,
    usd_booked: 0,
    usage_total: noUsage,
    usage_booked: noUsage,
    turns: 3,
    tool_calls: 4,
    transcript: null,
    forked_from: null,
    ended_at: null,
    why: '',
    ...changes,
  };
  for (const write of writeSession(bus.keys, 0, session)) {
    if (write.op === 'patch') await fabric.redis.hset(write.key, { ...write.set, revision: '1' });
    if (write.op === 'index') await fabric.redis.zadd(write.key, String(write.score), write.member);
  }
  return session;
};

test('sessions are listed with whose they are, how full, and what they cost, the last active first', async () => {
  const served = await serve();
  const ago = (hours: number) => new Date(Date.now() - hours * 3_600_000).toISOString();
  await keep(served);
  await keep(served, { session_id: 'an-older-one', task_id: 'b-task', last_activity: ago(30), ended_at: ago(30) });
  const { sessions } = await served.client.sessions();
  expect(sessions.map(({ session_id, status }) => [session_id, status])).toEqual([
    [id, 'idle'],
    ['an-older-one', 'expired'],
  ]);
  expect(sessions[0]).toMatchObject({
    ...{ agent_id: 'code_developer', task_id: 'a-task', context_usage: 0.25, login: 'subscription' },
    cost: { usd: 0.5, tokens: 1000, notional: true },
  });
  const ofTask = await served.client.sessions({ task: 'b-task' });
  expect(ofTask.sessions.map(({ session_id }) => session_id)).toEqual(['an-older-one']);
});

test('a session is shown with the transcript that was carried to the hub', async () => {
  const home = mkdtempSync(join(tmpdir(), 'nexus-sessions-'));
  onTestFinished(() => rmSync(home, { recursive: true, force: true }));
  const fabric = testFabric();
  const bus = await fabric.open('gateway', { observer: true });
  const config = { ...fabric.config, ...loadConfig(gatewayConfig, { NEXUS_TOKEN: 't' }), home };
  const app = await composeServer({
    ...{ bus, catalog: await openCatalog(), config, version: '0', log: silentLog(), meters: openMeters('gateway') },
    closing: new AbortController().signal,
  });
  onTestFinished(() => app.close());
  const client = openClient({ url: await app.listen({ host: '127.0.0.1', port: 0 }), token: 't' });
  const hub = hubPath(home, 'a-task');
  await createHub({ hub, repository: null, base: null });
  const ref = refs('a-task').evidence(`session-${id}`);
  await commitEvidence({ hub, ref, files: { 'transcript.jsonl': '{"type":"user"}\n' }, message: 'A transcript' });
  await keep({ fabric, bus }, { transcript: { ref, path: 'transcript.jsonl' } });
  expect(await client.session(id)).toMatchObject({ transcript: '{"type":"user"}\n', transcript_at: ref });
});

test('an active session whose worker is gone is shown as one that can be gone on with', async () => {
  const served = await serve();
  await keep(served, { status: 'active', holder: 'worker-agent-gone-1.5-0.1' });
  expect(await served.client.session(id)).toMatchObject({
    status: 'idle',
    why: expect.stringMatching(/its worker is gone/),
  });
});

test('a person ends a session, and nobody goes on with it', async () => {
  const served = await serve();
  await keep(served);
  const worker = await served.fabric.open('worker-agent');
  const { isClaimed } = worker;
  const handlers = { ...handleAll('worker-agent', () => done()), 'session.dismissed': onSessionDismissed };
  worker.consume({ mode: 'take', slots: 1, tools: { isClaimed }, handlers: handlers as never });
  expect(await served.client.endSession(id)).toEqual({ session_id: id, ended: true });
  const { store, keys } = served.bus;
  const ended = await eventually('it is ended', async () => {
    const found = await readSession(store, keys, id);
    return found?.session.status === 'ended' ? found.session : undefined;
  });
  expect(ended).toMatchObject({ holder: null, why: expect.stringMatching(/^ended by /) });
});

test('SESSION_HELD, SESSION_UNKNOWN: a session that an agent is in, or nobody knows, is not ended', async () => {
  const served = await serve();
  const [worker] = await served.bus.presences();
  await keep(served, { status: 'active', holder: 'a-claim', instance_id: worker?.instance_id ?? '' });
  expect(await refusal(served.client.endSession(id))).toMatchObject({ code: 'SESSION_HELD', status: 409 });
  expect(await refusal(served.client.session('nobody'))).toMatchObject({ code: 'SESSION_UNKNOWN', status: 404 });
});
