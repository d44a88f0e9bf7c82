import { expect, test } from 'vitest';
import { answering, openHome, runNexus } from '../../test/tools/cli.ts';

const id = '4fe9794f-985d-413d-a303-872935aa65c6';
const at = new Date().toISOString();
const shown = {
  ...{ session_id: id, runtime: 'claude-code', agent_id: 'builder', task_id: 'a-task', subtask_id: 'storage' },
  ...{ attempt: 2, status: 'idle', created_at: at, last_activity: at, instance_id: 'worker-1', host: 'here' },
  ...{ model: 'claude-opus-5-5', login: 'subscription', context_usage: 0.25, turns: 3, tool_calls: 4 },
  ...{ cost: { usd: 0.5, tokens: 1000, notional: true }, forked_from: 'an-older-one', why: 'put aside' },
};
const ref = 'refs/nexus/a-task/evidence/session-4fe9794f';

test('sessions are listed with whose they are, how full, and what they cost', async () => {
  const { url, calls } = await answering({ 'GET /api/sessions': { sessions: [shown], next_offset: null } });
  const listed = await runNexus(openHome(), ['sessions', 'ls', '--task', 'a-task'], url);
  expect(calls[0]?.path).toBe('/api/sessions?limit=50&task=a-task');
  expect(listed.out).toMatch(/SESSION +AGENT +SUBTASK +STATUS +ACTIVE +CONTEXT +COST/);
  expect(listed.out).toMatch(/4fe9794f.* builder +a-task\/storage +idle .* 25 % +0\.5000 USD \(notional\)/);
});

test('no session is said in words, and as an empty list for programs', async () => {
  const { url } = await answering({ 'GET /api/sessions': { sessions: [], next_offset: null } });
  expect((await runNexus(openHome(), ['sessions'], url)).out).toMatch(/No agent has had a conversation/);
  const listed = await runNexus(openHome(), ['sessions', '--json'], url);
  expect(JSON.parse(listed.out)).toEqual({ sessions: [], next_offset: null });
});

test('a session is shown with its transcript, and ended', async () => {
  const { url, calls } = await answering({
    [`GET /api/sessions/${id}`]: { ...shown, transcript: '{"type":"user"}', transcript_at: ref },
    [`POST /api/sessions/${id}/end`]: { session_id: id, ended: true },
  });
  const { out } = await runNexus(openHome(), ['sessions', 'show', id], url);
  expect(out).toContain(`${id}: idle, put aside`);
  expect(out).toContain('claude-code, claude-opus-5-5, by subscription, on here (worker-1)');
  expect(out).toContain('a copy of an-older-one');
  expect(out).toMatch(/transcript: refs\/nexus\/[\s\S]*\{"type":"user"\}/);
  expect((await runNexus(openHome(), ['sessions', 'end', id], url)).out).toMatch(/is ended: the next attempt/);
  expect(calls.at(-1)).toMatchObject({ method: 'POST', path: `/api/sessions/${id}/end` });
});
