/** The loop as a worker runs it: the real runtime, the real library, a server that plays the model. */
import { existsSync } from 'node:fs';
import { mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { AgentDefinition } from '@nexus/shared/catalog';
import { fail } from '@nexus/shared/errors';
import { listMarked } from '@nexus/shared/process';
import type { SpendGate } from '@nexus/shared/spend';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { agent, call, finish, type More, markOfPlay, playOpenai, said } from '../../../test/tools/openai-agent.ts';
import type { Reply, Script } from '../../../test/tools/openai-api/openai-api.ts';
import { runtime } from '../runtimes/openai.ts';

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'nexus-loop-'));
});
afterEach(() => rm(folder, { recursive: true, force: true }));
const play = (script: Script, more?: More) => playOpenai(folder, script, more);

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

test('a model that only Claude’s runtime knows has no effect, and that is said once', async () => {
  const notices: string[] = [];
  const onNotice = (says: string) => notices.push(says);
  const { result } = await play([finish], { request: { agent: { ...agent, model: 'opus' }, onNotice } });
  expect(result).toMatchObject({ ok: true, model: 'test-model' });
  expect(notices).toEqual(['the model "opus" is one of Claude’s: test-model is asked instead']);
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

  test('without a time is looked at again soon, and an account without credit waits for a person', async () => {
    const settings = { NEXUS_MODEL_TRIES: '1', NEXUS_MODEL_WAIT: '40s' };
    const { result } = await play([{ status: 429 }], { settings });
    expect(result.parked?.until).toBeGreaterThan(Date.now() + 30_000);
    expect(result.parked?.until).toBeLessThan(Date.now() + 41_000);
    const { result: poor } = await play([{ status: 429, code: 'insufficient_quota', retryAfter: 5 }], { settings });
    expect(poor).toMatchObject({ ok: false, code: 'CREDIT_SPENT', turns: 0 });
    expect(poor.parked ?? null).toBeNull();
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
    expect(result.says).toMatch(
      /attempt 1 at \S+ \(what was left of all its limits when it began\) is spent: 1800 of 1500/,
    );
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

/** The second is ours; a machine on which ten other suites run takes more of it than we do. */
const onBusyMachines = { retry: 2 };
test.each([
  ['while the model thinks', { hangs: true }, 'asked'],
  ['while the model speaks', { text: 'hanging', hangs: true }, 'hanging'],
  [
    'in a command that ignores TERM',
    call('run', { command: "trap '' TERM; echo hanging; while :; do sleep 1; done" }),
    'hanging\n',
  ],
])('an abort is over within a second: %s', onBusyMachines, async (_when, reply: Reply, sign) => {
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
  expect(listMarked().filter(({ mark }) => mark.startsWith(markOfPlay))).toEqual([]);
});
