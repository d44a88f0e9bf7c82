/** The loop as a worker runs it: the real runtime, the real library, a server that plays the model. */
import { existsSync } from 'node:fs';
import { mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import type { AgentDefinition } from '@nexus/shared/catalog';
import { loadConfig } from '@nexus/shared/config';
import { fail } from '@nexus/shared/errors';
import { listMarked } from '@nexus/shared/process';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import {
  type ApiOptions,
  type ChatRequest,
  openOpenaiApi,
  type Reply,
  type Script,
} from '../../../test/tools/openai-api/openai-api.ts';
import { runtime } from '../runtimes/openai.ts';
import type { AgentEvent, RunRequest, SpendGate } from '../runtimes.ts';
import { openaiConfig } from './settings.ts';

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'nexus-loop-'));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

const call = (tool: string, input: unknown = {}, id?: string): Reply => ({
  calls: [{ tool, input, ...(id ? { id } : {}) }],
});
const finish = call('finish', { summary: 'It is done.' });
const agent = {
  agent_id: 'code',
  name: 'Code',
  role: 'builder',
  tools: [],
  model: 'inherit',
} as unknown as AgentDefinition;

type More = { request?: Partial<RunRequest>; settings?: Record<string, string>; api?: ApiOptions };
let marks = 0;
const settingsOf = ({ NEXUS_HOME: home, ...environment }: Record<string, string>) => ({
  ...loadConfig(openaiConfig, environment),
  ...(home === undefined ? {} : { home }),
});
const contextOf = (environment: Record<string, string>) => ({
  ...{ agentCommand: null, rehearsal: false, task: null },
  settings: settingsOf(environment),
});

/** Runs an agent whose model answers so. */
const play = async (script: Script, { request = {}, settings = {}, api: options }: More = {}) => {
  await using api = await openOpenaiApi(script, options);
  const events: AgentEvent[] = [];
  let output = '';
  const environment = {
    NEXUS_MODEL_URL: api.url,
    OPENAI_API_KEY: api.key,
    NEXUS_OPENAI_MODEL: 'test-model',
    ...settings,
  };
  const result = await runtime.run({
    ids: { taskId: 'a-task', subtaskId: 'a-subtask', attempt: 1, role: 'builder', kind: 'code' },
    ...{ agent, folder, prompt: 'The task.', env: {}, session: null },
    mark: `loop-${process.pid}-${marks++}`,
    timeBoxMs: 20_000,
    outputBytesMax: 1_000_000,
    signal: new AbortController().signal,
    onOutput: (chunk) => {
      output += chunk;
    },
    onEvent: (event) => events.push(event),
    context: contextOf(environment),
    ...request,
  } as RunRequest);
  return { result, requests: api.requests, asked: api.asked(), events, output, key: api.key };
};
/** What the model was told in a request, the last message by default. */
const said = (request: ChatRequest | undefined, at = -1): string => request?.messages.at(at)?.content ?? '';

describe('an agent', () => {
  test('reads, edits, runs and finishes, and each result comes back to the model', async () => {
    await writeFile(join(folder, 'sum.js'), 'export const sum = (a, b) => a - b;\n');
    const { result, requests, events } = await play([
      call('read', { path: 'sum.js' }),
      call('edit', { path: 'sum.js', old: 'a - b', new: 'a + b' }),
      call('run', { command: 'grep -c "a + b" sum.js; exit 4' }),
      call('finish', { summary: 'Mended the sum.', confidence_score: 0.9, files: ['sum.js'] }),
    ]);
    expect(result).toMatchObject({ ok: true, code: null, exitCode: 0, turns: 4, toolCalls: 4, model: 'test-model' });
    expect(result.report).toMatchObject({ summary: 'Mended the sum.', confidence_score: 0.9, files: ['sum.js'] });
    expect(said(requests[1])).toBe('1\texport const sum = (a, b) => a - b;');
    expect(said(requests[3])).toBe('exit code 4\n1');
    expect(await readFile(join(folder, 'sum.js'), 'utf8')).toContain('a + b');
    expect(events.filter(({ kind }) => kind === 'tool_call')).toHaveLength(4);
  });

  test('has several calls of one answer done, each answered under its own id', async () => {
    await writeFile(join(folder, 'one.txt'), 'first');
    const calls = [
      { id: 'a', tool: 'read', input: { path: 'one.txt' } },
      { id: 'b', tool: 'search', input: { pattern: 'f[a-z]+t' } },
      { id: 'c', tool: 'write', input: { path: 'two.txt', text: 'second' } },
      { id: 'd', tool: 'list', input: {} },
      { id: 'e', tool: 'read', input: { path: 'three.txt' } },
    ];
    const { requests } = await play([{ calls }, finish]);
    const results = requests[1]?.messages.filter(({ role }) => role === 'tool');
    expect(results?.map(({ tool_call_id }) => tool_call_id)).toEqual(['a', 'b', 'c', 'd', 'e']);
    expect(results?.map(({ content }) => content)).toEqual([
      '1\tfirst',
      'one.txt:1:first',
      'wrote 6 bytes to two.txt',
      'one.txt (5 bytes)\ntwo.txt (6 bytes)',
      'That was not done: three.txt does not exist.',
    ]);
  });

  test('is told what was wrong with a call, and goes on', async () => {
    const { result, requests } = await play([
      call('fly', {}),
      call('write', '{"path": "half'),
      call('read', { lines: 'many' }),
      call('edit', { path: '../other/file', old: 'a', new: 'b' }),
      finish,
    ]);
    expect(result.ok).toBe(true);
    expect(said(requests[1])).toContain('There is no tool "fly". There are: read, write');
    expect(said(requests[2])).toContain('no JSON');
    expect(said(requests[3])).toMatch(/does not fit: path: .+; lines: /);
    expect(said(requests[4])).toContain('leads out of the folder');
  });

  test('reads and writes nothing outside its folder, though a link leads there', async () => {
    const outside = await mkdtemp(join(tmpdir(), 'nexus-outside-'));
    await writeFile(join(outside, 'secret.txt'), 'a secret');
    await symlink(outside, join(folder, 'way'));
    const { requests } = await play([
      call('read', { path: 'way/secret.txt' }),
      call('write', { path: 'way/new.txt', text: 'new' }),
      call('search', { pattern: 'secret', path: 'way' }),
      call('search', { pattern: 'secret' }),
      finish,
    ]);
    const results = requests
      .at(-1)
      ?.messages.filter(({ role }) => role === 'tool')
      .map(({ content }) => content);
    expect(results?.slice(0, 3).every((text) => text?.includes('leads out'))).toBe(true);
    expect(results?.[3]).toBe('(nothing found)');
    expect(existsSync(join(outside, 'new.txt'))).toBe(false);
    await rm(outside, { recursive: true });
  });

  test('whose role changes nothing may write only its notes', async () => {
    const reviewer = { ...agent, tools: ['Read', 'Grep', 'Bash'] };
    const { requests } = await play(
      [
        call('write', { path: 'code.js', text: 'no' }),
        call('write', { path: '.nexus/report.md', text: 'yes' }),
        finish,
      ],
      { request: { agent: reviewer } },
    );
    expect(requests[0]?.tools?.map(({ function: { name } }) => name)).toEqual([
      'read',
      'write',
      'list',
      'run',
      'search',
      'finish',
    ]);
    expect(said(requests[1])).toContain('only below .nexus/');
    expect(existsSync(join(folder, 'code.js'))).toBe(false);
    expect(await readFile(join(folder, '.nexus/report.md'), 'utf8')).toBe('yes');
  });

  test('that only talks is reminded once, and then taken at its word', async () => {
    const { result, requests } = await play([{ text: 'I think all is well.' }, { text: 'All is well.' }]);
    expect(said(requests[1])).toContain('call finish');
    expect(result).toMatchObject({ ok: true, report: { summary: 'All is well.' } });
  });

  test('is told while it works', async () => {
    const script: Script = async (_request, count) => {
      if (count === 1) await runtime.nudge?.(folder, 'Come to an end.');
      return count === 1 ? call('list') : finish;
    };
    const { requests } = await play(script);
    expect(said(requests[1])).toBe('Come to an end.');
  });

  test('never sees the key: not in its environment, not in what it is told, not in what it prints', async () => {
    const { requests, output, key } = await play([call('run', { command: 'env; cat /proc/$$/environ' }), finish]);
    expect(key.length).toBeGreaterThan(8);
    expect(JSON.stringify(requests)).not.toContain(key);
    expect(output).not.toContain(key);
  });
});

describe('an answer that is no use', () => {
  test('is asked for again in smaller steps when it was cut off, and half a call is not done', async () => {
    const half = {
      text: 'So',
      calls: [{ tool: 'write', input: '{"path": "a.txt", "text": "ha' }],
      finish: 'length' as const,
    };
    const { result, requests } = await play([half, finish]);
    expect(result.ok).toBe(true);
    expect(said(requests[1])).toContain('cut off');
    expect(existsSync(join(folder, 'a.txt'))).toBe(false);
  });

  test('ends the agent when it is cut off again and again', async () => {
    const { result, asked } = await play([{ text: 'And then', finish: 'length' }]);
    expect(result).toMatchObject({ ok: false, code: 'MODEL_CUT' });
    expect(asked).toBe(4);
  });

  test('ends the agent when the model declines twice', async () => {
    const { result, requests } = await play([{ refusal: 'I will not do that.' }]);
    expect(result).toMatchObject({ ok: false, code: 'MODEL_REFUSED' });
    expect(result.says).toContain('I will not do that.');
    expect(requests).toHaveLength(2);
  });

  test('ends the agent when it makes no end of it', async () => {
    const { result, asked } = await play([call('list')], { settings: { NEXUS_TURNS_MAX: '7' } });
    expect(result).toMatchObject({ ok: false, code: 'AGENT_TURNS_SPENT', turns: 7 });
    expect(asked).toBe(7);
    const { result: fewer } = await play([call('list')], { request: { maxTurns: 2 } });
    expect(fewer).toMatchObject({ code: 'AGENT_TURNS_SPENT', turns: 2 });
  });
});

test('a temperature that the model does not take is said once, and left out from then on', async () => {
  const notices: string[] = [];
  const warm = { ...agent, runtime: { temperature: 0.2 } } as AgentDefinition;
  const script: Script = ({ temperature }, count) => {
    if (temperature !== undefined)
      return { status: 400, message: "Unsupported value: 'temperature' is not supported." };
    return count < 3 ? call('list') : finish;
  };
  const { result, requests } = await play(script, {
    request: { agent: warm, onNotice: (says) => notices.push(says) },
  });
  expect(result.ok).toBe(true);
  expect(requests.map(({ temperature }) => temperature)).toEqual([0.2, undefined, undefined]);
  expect(notices).toEqual(['the model test-model takes no temperature: 0.2 has no effect']);
});

describe('a long conversation', () => {
  const big = 'A line of a large file.\n'.repeat(400);

  test('is trimmed, oldest first, and the task stays to the end', async () => {
    await writeFile(join(folder, 'big.txt'), big);
    const looks = Array.from({ length: 12 }, () => call('read', { path: 'big.txt' }));
    const { result, requests } = await play([...looks, finish], { settings: { NEXUS_CONTEXT_TOKENS: '12000' } });
    expect(result).toMatchObject({ ok: true, turns: 13 });
    for (const { messages } of requests) {
      expect(messages[1]?.content).toBe('The task.');
      expect(JSON.stringify(messages).length / 3).toBeLessThan(13_000);
    }
    expect(JSON.stringify(requests.at(-1)?.messages)).toMatch(/left out.* to save room/);
  });

  test('is cut and asked again where the server has less room than was thought', async () => {
    await writeFile(join(folder, 'big.txt'), big);
    const looks = Array.from({ length: 6 }, () => call('read', { path: 'big.txt' }));
    const tooLong: Reply = { status: 400, code: 'context_length_exceeded', message: 'Too long.' };
    let told = 0;
    const { result, requests } = await play(({ messages }) => {
      if (JSON.stringify(messages).length < 30_000) return looks.shift() ?? finish;
      told += 1;
      return tooLong;
    });
    expect(result).toMatchObject({ ok: true });
    expect(told).toBeGreaterThan(0);
    expect(said(requests.at(-1), 1)).toBe('The task.');
  });
});

describe('a limit', () => {
  const parkedBy = (error: Error): SpendGate => ({ reserve: () => Promise.reject(error) });

  test('of the provider that lasts puts the attempt aside until it ends', async () => {
    const began = Date.now();
    const { result, asked } = await play([{ status: 429, retryAfter: 1800 }]);
    expect(result).toMatchObject({ ok: false, code: 'MODEL_LIMITED', parked: { code: 'MODEL_LIMITED' } });
    expect(result.parked?.until).toBeGreaterThan(began + 1_790_000);
    expect(result.parked?.account).toMatch(/^key-[0-9a-f]{8}$/);
    expect(asked).toBe(1);
  });

  test('of the fleet puts it aside until its time, and a spent budget until a person decides', async () => {
    const until = new Date(Date.now() + 60_000).toISOString();
    const limited = fail('PROVIDER_LIMITED', { provider: 'openai', account: 'a', until, why: 'it was told so' });
    const { result, asked } = await play([finish], { request: { spend: parkedBy(limited) } });
    expect(result).toMatchObject({ code: 'PROVIDER_LIMITED', parked: { until: Date.parse(until) } });
    const spent = fail('BUDGET_SPENT', { scope: 'the task', used: 1, max: 1, what: 'USD', wanted: 1 });
    const { result: poor } = await play([finish], { request: { spend: parkedBy(spent) } });
    expect(poor).toMatchObject({ ok: false, code: 'BUDGET_SPENT', parked: { until: null } });
    expect(asked).toBe(0);
  });

  test('of tokens ends the run before the call that would pass it', async () => {
    const script = [{ ...call('list'), usage: { input: 500, output: 100 } }];
    const { result, asked } = await play(script, { request: { budget: { usd: null, tokens: 1500 } } });
    expect(result).toMatchObject({ ok: false, code: 'BUDGET_SPENT', cost: { tokens: 1800 } });
    expect(asked).toBe(3);
  });

  test('of one command ends that command, and the agent goes on', async () => {
    const { result, requests } = await play([call('run', { command: 'echo begins; sleep 60', seconds: 1 }), finish]);
    expect(result.ok).toBe(true);
    expect(said(requests[1])).toBe('ended after 1 s, which is the limit\nbegins');
  });
});

test('what was used is counted over all calls, cached tokens apart', async () => {
  const usage = { input: 1000, output: 50, cached: 400 };
  const { result } = await play([
    { ...call('list'), usage },
    { ...finish, usage },
  ]);
  expect(result.usage).toEqual({
    input_tokens: 1200,
    output_tokens: 100,
    cache_read_tokens: 800,
    cache_write_tokens: 0,
  });
  expect(result.cost.tokens).toBe(2100);
});

describe('a conversation that goes on', () => {
  const home = () => join(folder, '..', `${basename(folder)}-home`);
  const settings = () => ({ NEXUS_HOME: home() });
  afterEach(() => rm(home(), { recursive: true, force: true }));
  /** A run that is ended in the middle of a command; the id of its conversation. */
  const interrupted = async (): Promise<string> => {
    const abort = new AbortController();
    let id = '';
    const { result } = await play([{ text: 'I begin.', ...call('run', { command: 'echo begun; sleep 60' }) }], {
      settings: settings(),
      request: {
        signal: abort.signal,
        onSession: (given) => {
          id = given;
        },
        onOutput: (chunk) => chunk.includes('begun\n') && abort.abort(fail('STOPPED', { epoch: 2 })),
      },
    });
    expect(result).toMatchObject({ ok: false, code: 'STOPPED', sessionId: id });
    return id;
  };

  test('has all that was said before, is told what nobody knows, and gets its task once more', async () => {
    const session = await interrupted();
    const request = { session, prompt: 'The task, once more.' };
    const { result, requests } = await play([finish], { settings: settings(), request });
    expect(result).toMatchObject({ ok: true, sessionId: session });
    const [first] = requests;
    expect(first?.messages.map(({ role }) => role)).toEqual(['system', 'user', 'assistant', 'tool', 'user']);
    expect(said(first, 1)).toBe('The task.');
    expect(said(first, 2)).toBe('I begin.');
    expect(said(first, 3)).toContain('nobody knows whether this happened');
    expect(said(first, 4)).toContain('The task, once more.');
  });

  test('goes on elsewhere from its transcript, as a copy where somebody may still be in it', async () => {
    const session = await interrupted();
    const found = await runtime.transcriptOf?.(session, contextOf(settings()));
    const transcript = join(folder, 'brought.jsonl');
    await writeFile(transcript, `${await readFile(found ?? '', 'utf8')}{"role":"assist`);
    expect(await runtime.forget?.(session, contextOf(settings()))).toBe(true);
    expect(await runtime.transcriptOf?.(session, contextOf(settings()))).toBe(null);
    const conversation = { transcript, fork: true, usdBefore: 0 };
    const { result, requests } = await play([finish], { settings: settings(), request: { session, conversation } });
    expect(result.ok).toBe(true);
    expect(result.sessionId).not.toBe(session);
    expect(said(requests[0], 2)).toBe('I begin.');
  });

  test('of which nothing is left begins anew, and says so', async () => {
    const notices: string[] = [];
    const session = '00000000-0000-4000-8000-000000000000';
    const request = { session, onNotice: (says: string) => notices.push(says) };
    const { result, requests } = await play([finish], { settings: settings(), request });
    expect(result.ok).toBe(true);
    expect(said(requests[0])).toBe('The task.');
    expect(notices[0]).toContain('nothing left of 00000000');
  });
});

test.each([
  ['while the model thinks', { hangs: true }, 'asked'],
  ['while the model speaks', { text: 'hanging', hangs: true }, 'hanging'],
  [
    'in a command that ignores TERM',
    call('run', { command: "trap '' TERM; echo hanging; while :; do sleep 1; done" }),
    'hanging\n',
  ],
])('an abort is over within a second: %s', async (_when, reply: Reply, sign) => {
  const abort = new AbortController();
  let aborted = 0;
  const stop = () => {
    aborted ||= performance.now();
    abort.abort(fail('STOPPED', { epoch: 2 }));
  };
  const script: Script = () => {
    if (sign === 'asked') setTimeout(stop, 50);
    return reply;
  };
  const { result } = await play(script, {
    request: { signal: abort.signal, onOutput: (chunk) => chunk.includes(sign) && stop() },
  });
  const took = performance.now() - aborted;
  expect(result).toMatchObject({ ok: false, code: 'STOPPED' });
  expect(took).toBeLessThan(1000);
  expect(listMarked().filter(({ mark }) => mark.startsWith(`loop-${process.pid}-`))).toEqual([]);
});
