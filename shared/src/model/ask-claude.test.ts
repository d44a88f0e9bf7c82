/** The same questions, by the real CLI of Claude Code against a Messages API of our own. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { loadConfig } from '@nexus/shared/config';
import { fail } from '@nexus/shared/errors';
import { listMarked } from '@nexus/shared/process';
import { afterAll, afterEach, beforeAll, expect, test, vi } from 'vitest';
import { z } from 'zod';
import { claudeProgram } from '../../../test/tools/claude.ts';
import { hang, openMessagesApi, refuse, type Script, say, use } from '../../../test/tools/messages-api/messages-api.ts';
import type { Gate } from './call.ts';
import { askConfig, openModel } from './open-model.ts';

const schema = z.object({ title: z.string(), steps: z.array(z.string()) });
// Each answer is a start of the CLI, which is slow where everything else runs beside it.
vi.setConfig({ testTimeout: 60_000 });
const api = await openMessagesApi();
let folder: string;
let program: string;
beforeAll(async () => {
  program = claudeProgram();
  folder = await mkdtemp(join(tmpdir(), 'nexus-ask-claude-'));
}, 120_000);
afterAll(async () => {
  await api.close();
  await rm(folder, { recursive: true, force: true });
});
afterEach(() => {
  delete process.env.ANTHROPIC_BASE_URL;
  delete process.env.ANTHROPIC_API_KEY;
  delete process.env.CLAUDE_CONFIG_DIR;
});

const ask = async (name: string, script: Script, signal = new AbortController().signal, gate?: Gate) => {
  process.env.ANTHROPIC_BASE_URL = api.script(name, script);
  process.env.ANTHROPIC_API_KEY = 'sk-ant-a-key-for-tests-0000000';
  process.env.CLAUDE_CONFIG_DIR = folder;
  const config = loadConfig(askConfig, {
    NEXUS_MODEL_BY: 'claude',
    NEXUS_MODEL: 'sonnet',
    NEXUS_CLAUDE_PROGRAM: program,
    NEXUS_MODEL_ANSWERS: '2',
  });
  const check = ({ steps }: z.infer<typeof schema>) => (steps.includes('two') ? [] : ['there is no step two']);
  const question = { name: 'plan', prompt: 'Plan @it.', system: 'You plan.', schema, check, signal, timeoutMs: 60_000 };
  return openModel(config, { priceOf: () => 0.5 })?.ask({ ...question, gate });
};

/** Writes down what was reserved, and how that ended. */
const openGate = () => {
  const said: unknown[][] = [];
  const told = (what: string) => async (how?: unknown) => void said.push(how === undefined ? [what] : [what, how]);
  const reserved = {
    settle: told('settle'),
    release: told('release'),
    limited: told('limited'),
    failed: told('failed'),
  };
  const gate: Gate = {
    reserve: async (call) => {
      said.push(['reserve', call]);
      return reserved;
    },
  };
  return { gate, said };
};
const plan = (...steps: string[]) => use('StructuredOutput', { title: 'A plan', steps });

test('Claude answers in the form that was asked for, and is told what does not hold', async () => {
  const answer = await ask('plan', ({ lastPrompt }) =>
    lastPrompt.includes('no step two') ? plan('one', 'two') : plan('one'),
  );
  expect(answer).toMatchObject({ value: { steps: ['one', 'two'] }, tries: 2, notional: false });
  expect(answer?.usd).toBeGreaterThan(0);
  expect(answer?.usage.output_tokens).toBeGreaterThan(0);
  const [first] = api.asks('plan');
  expect(first?.system).toContain('You plan.');
  expect(first?.tools).not.toContain('Bash');
});

test('a refused key is said at once, under its code', async () => {
  const began = performance.now();
  await expect(ask('refused', () => refuse(401, 'authentication_error', 'invalid x-api-key'))).rejects.toMatchObject({
    code: 'MODEL_KEY_REFUSED',
  });
  expect(performance.now() - began).toBeLessThan(30_000);
  expect(api.asks('refused').length).toBeLessThan(3);
});

test('an account without credit is said at once, under its code', async () => {
  const says = 'Your credit balance is too low to access the Anthropic API.';
  const asked = ask('poor', () => refuse(400, 'invalid_request_error', says));
  await expect(asked).rejects.toMatchObject({ code: 'CREDIT_SPENT' });
  expect(api.asks('poor')).toHaveLength(1);
});

test('an answer without the form is asked for again, and in the end refused', async () => {
  await expect(ask('words', () => say('I would rather talk.'))).rejects.toMatchObject({ code: 'MODEL_ANSWER_INVALID' });
});

test('an abort ends the CLI, and leaves no process', async () => {
  const abort = new AbortController();
  const stopped = fail('STOPPED', { epoch: 2 });
  const asked = ask(
    'hangs',
    () => {
      abort.abort(stopped);
      return hang('before');
    },
    abort.signal,
  );
  await expect(asked).rejects.toBe(stopped);
  expect(listMarked().filter(({ mark }) => mark.startsWith('nexus-ask-'))).toEqual([]);
});

test('its process takes a place, and what it may use is reserved before and settled after', async () => {
  const { gate, said } = openGate();
  const answer = await ask('paid', () => plan('one', 'two'), undefined, gate);
  const lane = { kind: 'process', provider: 'anthropic', account: expect.stringMatching(/^claude-api_key-\w{8}$/) };
  expect(said).toEqual([
    ['reserve', { ...lane, model: 'sonnet', notional: false, usdMax: 0.5, tokensMax: expect.any(Number) }],
    ['settle', { usd: answer?.usd, usage: answer?.usage, model: answer?.model }],
  ]);
});

test('a used-up window that is told of in words holds the account until it opens', async () => {
  const { gate, said } = openGate();
  const limited = refuse(429, 'rate_limit_error', 'limit reached · resets in 2h', { 'x-should-retry': 'false' });
  await expect(ask('used-up', () => limited, undefined, gate)).rejects.toMatchObject({ code: 'MODEL_LIMITED' });
  const [, [what, retryAfterMs] = []] = said;
  expect(what).toBe('limited');
  expect(Math.round(Number(retryAfterMs) / 60_000)).toBe(120);
});

test.each([
  [429, 'rate_limit_error', 'limited'],
  [529, 'overloaded_error', 'failed'],
])('a refusal with %i costs nothing, and is told to the governor as it was', async (status, type, how) => {
  const { gate, said } = openGate();
  await expect(ask(`refused-${status}`, () => refuse(status, type, 'no'), undefined, gate)).rejects.toThrow();
  expect(said.map(([what]) => what)).toEqual(['reserve', how]);
});
