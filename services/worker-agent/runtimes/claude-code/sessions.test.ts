/** Conversations of the real CLI: gone on with, copied, carried, followed by the next one when they are full. */
import { copyFileSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { probeSandbox } from '@nexus/shared/process';
import { noUsage } from '@nexus/shared/spend';
import { expect, test } from 'vitest';
import { openClaude } from '../../../../test/tools/claude.ts';
import { leaveOut } from '../../../../test/tools/machine.ts';
import { type Script, say, use } from '../../../../test/tools/messages-api/messages-api.ts';
import type { RunRequest } from '../../runtimes.ts';
import { openProxy } from '../../safety/credential-proxy.ts';
import { runtime } from '../claude-code.ts';
import { findConversation } from './conversation.ts';

const { usable, says: whatSandbox } = await probeSandbox();
leaveOut('the sandbox', usable ? null : whatSandbox);

const known = (transcript: string | null, fork: boolean, usdBefore: number) => ({
  conversation: { transcript, fork, usdBefore },
});

test('goes on with its own conversation under the same id, and tells only what the new part cost', async () => {
  await using claude = await openClaude();
  const ids: string[] = [];
  const first = await claude.run(() => say('The word is plum.'), { onSession: (id) => ids.push(id) });
  const id = first.sessionId ?? '';
  expect(ids).toEqual([id]);
  const second = await claude.run(() => say('Plum.'), { ...known(null, false, first.usdTotal ?? 0), go: { on: id } });
  expect(second).toMatchObject({ ok: true, sessionId: id, notices: [] });
  expect(JSON.stringify(claude.asks()[0]?.body.messages)).toContain('The word is plum.');
  expect(second.usdTotal).toBeGreaterThan(first.usdTotal ?? 0);
  expect(second.cost.usd).toBeCloseTo((second.usdTotal ?? 0) - (first.usdTotal ?? 0), 6);
});

test('goes on elsewhere from a carried transcript, as a copy under a new id', async () => {
  await using claude = await openClaude();
  const first = await claude.run(() => say('The word is plum.'));
  const carried = join(claude.home, 'carried.jsonl');
  copyFileSync(first.transcript ?? '', carried);
  await using other = await openClaude();
  const id = first.sessionId ?? '';
  const second = await other.run(() => say('Plum.'), { ...known(carried, true, first.usdTotal ?? 0), go: { on: id } });
  expect(second).toMatchObject({ ok: true, notices: [] });
  expect(second.sessionId).not.toBe(id);
  expect(JSON.stringify(other.asks()[0]?.body.messages)).toContain('The word is plum.');
  expect(second.cost.usd).toBeCloseTo((second.usdTotal ?? 0) - (first.usdTotal ?? 0), 6);
});

test('a conversation that is not there, or cannot be read, is said, and a new one begins', async () => {
  await using claude = await openClaude();
  const gone = '6a2f41a3-c54c-4b1b-8a45-0d6f2c9e7b10';
  const ran = await claude.run(() => say('Done.'), { go: { on: gone } });
  expect(ran).toMatchObject({ ok: true, notices: [expect.stringContaining(`${gone} is not to be found here`)] });
  expect(ran.sessionId).not.toBe(gone);
  const broken = await claude.run(() => say('Done.'), { ...known('/etc/hostname', false, 0), go: { on: gone } });
  expect(broken).toMatchObject({ ok: true, notices: [expect.stringContaining('not to be found')] });
});

test('goes on in a new conversation when the context is as full as the settings allow', async () => {
  await using claude = await openClaude();
  const full = { usage: { input_tokens: 170_000 } };
  const ids: string[] = [];
  const script: Script = ({ nth }) => (nth === 0 ? use('Bash', { command: 'sleep 5' }, '', full) : say('Done.'));
  const settings = { claudeRotate: 15 };
  const ran = await claude.run(script, { model: 'opus', settings, onSession: (id) => ids.push(id) });
  expect(ran).toMatchObject({ ok: true, turns: 2, context: { window: 1_000_000 } });
  expect(ids).toHaveLength(2);
  expect(ran.sessionId).toBe(ids[1]);
  expect(ran.notices).toEqual([`the context of the conversation ${ids[0]} is 15 % full: ${ids[1]} goes on`]);
  expect(claude.asks().at(-1)?.prompt).toMatch(/Do it\.[\s\S]*conversation that had become too long/);
  expect(ran.cost.tokens).toBeGreaterThan(170_000);
});

test.each([
  ['goes on as it is', 79, 0],
  ['is rotated', 81, 1],
])(
  'at 80 per cent of its context, unless set otherwise, a conversation is rotated: it %s at %i',
  async (_, percent, times) => {
    await using claude = await openClaude();
    const usage = { input_tokens: percent * 10_000 };
    const script: Script = ({ nth }) => (nth === 0 ? use('Bash', { command: 'true' }, '', { usage }) : say('Done.'));
    const ran = await claude.run(script, { model: 'opus' });
    expect(ran.ok).toBe(true);
    const rotated = ran.notices.filter((says) => says.includes('is 80 % full'));
    expect(rotated).toHaveLength(times);
  },
);

test('what a conversation that became too long has cost nobody told, and its turns are used', async () => {
  await using claude = await openClaude();
  const full = { usage: { input_tokens: 170_000 } };
  const script: Script = ({ nth }) =>
    nth === 1 ? use('Bash', { command: 'sleep 5' }, '', full) : use('Bash', { command: 'true' });
  const ran = await claude.run(script, { model: 'opus', maxTurns: 4, settings: { claudeRotate: 15 } });
  expect(ran).toMatchObject({ ok: false, code: 'AGENT_TURNS_SPENT', turns: 4, cost: { usd: null } });
  expect(ran.usdTotal).toBeGreaterThan(0);
  expect(claude.asks()).toHaveLength(4);
});

test('CONTEXT_FULL: an agent that fills every new conversation at once gets nowhere', async () => {
  await using claude = await openClaude();
  const script: Script = () => use('Bash', { command: 'sleep 5' }, '', { usage: { input_tokens: 190_000 } });
  const ran = await claude.run(script, { model: 'opus', settings: { claudeRotate: 15 } });
  expect(ran).toMatchObject({ ok: false, code: 'CONTEXT_FULL' });
  expect(ran.notices).toHaveLength(4);
}, 60_000);

test('an agent that is killed in the middle can be gone on with', async () => {
  await using claude = await openClaude();
  // The CLI writes its conversation a moment after it speaks: it dies once the word stands there.
  const written = `grep -rq "The word is plum" ${join(claude.home, 'claude', 'projects')}`;
  const command = `for i in $(seq 300); do ${written} && break; sleep 0.1; done; kill -KILL $PPID`;
  const killed = await claude.run(() => use('Bash', { command }, 'The word is plum.'));
  expect(killed).toMatchObject({ ok: false, code: 'AGENT_CRASHED' });
  const id = killed.sessionId ?? '';
  const second = await claude.run(() => say('Plum.'), { ...known(null, false, 0), go: { on: id } });
  expect(second).toMatchObject({ ok: true, sessionId: id, notices: [] });
  expect(JSON.stringify(claude.asks()[0]?.body.messages)).toContain('The word is plum.');
});

test('what a killed CLI used is in the total of the next one only where it could write it down', async () => {
  await using claude = await openClaude();
  const usage = { input_tokens: 10_000 };
  const plays =
    (signal: string): Script =>
    ({ nth }) =>
      nth === 0
        ? use('Bash', { command: 'true' }, 'The word is plum.', { usage })
        : use('Bash', { command: `kill -${signal} $PPID; sleep 5` }, '', { usage });
  const told = await claude.run(plays('TERM'));
  const heard = 0.08;
  const go = { on: told.sessionId ?? '' };
  expect(told.usdTotal).toBeNull();
  const usageBefore = { ...noUsage, input_tokens: 10_000, output_tokens: 1000 };
  const before = { conversation: { transcript: null, fork: false, usdBefore: heard, usageBefore } };
  const second = await claude.run(() => say('Plum.', { usage }), { ...before, go });
  // Three answers of 10 000 tokens: the CLI counts all of them, and two are booked.
  expect(second.usdTotal).toBeGreaterThanOrEqual(0.12);
  expect((second.cost.usd ?? 0) + heard).toBeCloseTo(second.usdTotal ?? 0, 6);
  // Of its tokens one answer's are booked.
  expect(second.usage).toMatchObject({ input_tokens: 20_000 });
  expect(second.usageTotal).toMatchObject({ input_tokens: 30_000 });

  const killed = await claude.run(plays('KILL'));
  const on = killed.sessionId ?? '';
  const third = await claude.run(() => say('Plum.', { usage }), { ...before, go: { on } });
  expect(third.usdTotal).toBeLessThan(0.05);
  expect(third.cost.usd).toBe(third.usdTotal);
  expect(third.usage).toMatchObject({ input_tokens: 10_000 });
});

test('a budget bounds what a resumed conversation uses from now on, whatever it has cost before', async () => {
  await using claude = await openClaude();
  const usage = { input_tokens: 50_000 };
  const first = await claude.run(() => say('The word is plum.', { usage }));
  const before = first.usdTotal ?? 0;
  const go = { on: first.sessionId ?? '' };
  const budget = { usd: before * 1.5, tokens: null };
  const again = { ...known(null, false, before), go, budget };
  // As much once more is within it; three times as much is not, and is told without what was before.
  const second = await claude.run(() => say('Plum.', { usage }), again);
  expect(second).toMatchObject({ ok: true, notices: [] });
  expect(second.usdTotal).toBeGreaterThan(budget.usd);
  const more = { ...again, ...known(null, false, second.usdTotal ?? 0) };
  const third = await claude.run(() => use('Bash', { command: 'true' }, '', { usage }), more);
  expect(third).toMatchObject({ ok: false, code: 'BUDGET_SPENT' });
  const [, used] = / ([\d.]+) of [\d.]+ USD /.exec(third.says) ?? [];
  expect(Number(used)).toBeCloseTo(third.cost.usd ?? 0, 3);
  expect(Number(used)).toBeLessThan((third.usdTotal ?? 0) / 1.5);
});

test('a conversation is found by its id, and removed by it', async () => {
  await using claude = await openClaude();
  const { sessionId } = await claude.run(() => say('Done.'));
  const context = { agentCommand: null, rehearsal: false, task: null, settings: claude.settings };
  const id = sessionId ?? '';
  expect(await runtime.transcriptOf?.(id, context)).toContain(`${id}.jsonl`);
  expect(await runtime.forget?.(id, context)).toBe(true);
  expect(await findConversation(join(claude.home, 'claude'), id)).toBeNull();
  expect(await runtime.forget?.(id, context)).toBe(false);
});

/** As a worker fences its agents: nothing of the home is seen but what is shown. */
const fencedIn = async (home: string): Promise<{ guard: NonNullable<RunRequest['guard']>; close(): Promise<void> }> => {
  const limits = { requestBytesMax: 1e8, responseBytesMax: 1e8, timeoutMs: 60_000, requestsMax: 8 };
  const proxy = await openProxy({ accounts: [], limits });
  return {
    guard: {
      fence: { limits: {}, sandbox: { writable: [], hidden: [home], network: true } },
      ...{ admit: () => ({}), used: () => [], close: () => undefined },
      lend: (account) => proxy.lend('sessions', account),
    },
    close: proxy.close,
  };
};

test.runIf(usable)(
  'in the sandbox an agent sees the conversations of its own clone, and goes on in them, and none of another',
  async () => {
    await using claude = await openClaude();
    const { guard, close } = await fencedIn(claude.home);
    const theirs = join(claude.home, 'b_ä'.repeat(40), 'b_ä'.repeat(30), 'clone-of-another');
    mkdirSync(theirs, { recursive: true });
    const secret: Script = ({ turn }) =>
      turn === 0 ? use('Write', { file_path: 'a.txt', content: 'one' }, 'Their word is quince.') : say('Done.');
    const other = await claude.run(secret, { guard, folder: theirs });
    expect(other.transcript).toContain(`${other.sessionId}.jsonl`);
    const mine = await claude.run(() => say('My word is plum.'), { guard });
    const words = 'grep -rhoE "word is [a-z]+" "$CLAUDE_CONFIG_DIR" | sort -u';
    const command = `${words}; find "$CLAUDE_CONFIG_DIR" -name "*.jsonl" -printf "%f "`;
    const look: Script = ({ nth }) => (nth === 0 ? use('Bash', { command }) : say('Done.'));
    const go = { on: mine.sessionId ?? '' };
    const again = await claude.run(look, { ...known(null, false, 0), go, guard });
    expect(again).toMatchObject({ ok: true, sessionId: mine.sessionId, transcript: mine.transcript, notices: [] });
    expect(again.output).toContain(`${mine.sessionId}.jsonl`);
    expect(again.output).toContain('word is plum');
    expect(again.output).not.toMatch(new RegExp(`word is quince|${other.sessionId}`));
    // What lies at another clone's comes along with the one who goes on with it.
    const taken = { on: other.sessionId ?? '' };
    const moved = await claude.run(() => say('Done.'), { ...known(null, false, 0), go: taken, guard });
    expect(moved).toMatchObject({ ok: true, sessionId: other.sessionId, notices: [] });
    expect(JSON.stringify(claude.asks().at(-1)?.body.messages)).toContain('Their word is quince.');
    await close();
  },
);
