/**
 * The conformance suite: what every runtime promises, tried on each runtime in this folder with real processes, as they
 * are and in the sandbox.
 * A new runtime is found by itself; it brings `<name>.conformance.ts` beside its own file.
 */
import { existsSync } from 'node:fs';
import { mkdtemp, readdir, readFile, readlink, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { AgentDefinition } from '@nexus/shared/catalog';
import { fail } from '@nexus/shared/errors';
import { allowedEnv, listMarked, probeSandbox } from '@nexus/shared/process';
import type { SpendGate } from '@nexus/shared/spend';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { loadRuntimes, type RunRequest, type Runtime } from '../runtimes.ts';
import { openProxy } from '../safety/credential-proxy.ts';
import type { Behaviour, Conformance } from './conformance.ts';

const runtimes = await loadRuntimes(import.meta.dirname);
let folder: string;
let count = 0;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'nexus-conformance-'));
});
/** Each is used twice, as it is and in the sandbox. */
const opened = new Set<Conformance>();
afterAll(async () => {
  for (const { close } of opened) await close?.();
  await rm(folder, { recursive: true, force: true });
});

/** The processes that work in a folder; the numbers that they have in a sandbox are not those that they have here. */
const workingIn = async (place: string): Promise<string[]> => {
  const pids = (await readdir('/proc')).filter((name) => /^\d/.test(name));
  const places = await Promise.all(pids.map((pid) => readlink(`/proc/${pid}/cwd`).catch(() => '')));
  return places.filter((found) => found.startsWith(place));
};

const { usable } = await probeSandbox();
const limits = { requestBytesMax: 1e8, responseBytesMax: 1e8, timeoutMs: 60_000, requestsMax: 8 };
const proxy = await openProxy({ accounts: [], limits });
afterAll(proxy.close);
const guardOf = (isBoxed: boolean): NonNullable<RunRequest['guard']> => ({
  fence: { limits: {}, ...(isBoxed ? { sandbox: { writable: [], hidden: [], network: true } } : {}) },
  ...{ admit: () => ({}), used: () => [], close: () => undefined },
  lend: (account) => proxy.lend('conformance', account),
});

const agent = { agent_id: 'code_developer', name: 'Code', role: 'builder' } as AgentDefinition;

const cases = [...runtimes.values()].flatMap((runtime) => [
  [runtime.name, 'as it is', runtime, false] as const,
  ...(usable ? [[runtime.name, 'in the sandbox', runtime, true] as const] : []),
]);

describe.each(cases)('runtime %s, %s', (name, _, runtime, isBoxed) => {
  let conformance: Conformance;
  beforeAll(async () => {
    ({ conformance } = (await import(`./${name}.conformance.ts`)) as { conformance: Conformance });
    opened.add(conformance);
  });
  const open = async (behaviour: Behaviour, changes: Partial<RunRequest> = {}) => {
    const here = await mkdtemp(join(folder, 'run-'));
    const output: string[] = [];
    const request: RunRequest = {
      ids: { taskId: 'a-task', subtaskId: 'a-subtask', attempt: 1, role: 'builder', kind: 'code' },
      agent,
      prompt: 'Do it.',
      folder: here,
      env: { NEXUS_TASK: 'a-task' },
      mark: `conformance-${process.pid}-${count++}`,
      timeBoxMs: 20_000,
      outputBytesMax: 1_000_000,
      signal: new AbortController().signal,
      onOutput: (chunk) => output.push(chunk),
      session: null,
      guard: guardOf(isBoxed),
      context: { rehearsal: true, ...conformance.behave(behaviour) },
      ...changes,
    };
    return { request, output, file: (path: string) => readFile(join(here, path), 'utf8') };
  };
  const marked = (mark: string) => listMarked().filter((found) => found.mark === mark);
  /** Runs an agent that hangs, and calls `once` as soon as it says so. */
  const hang = async (behaviour: Behaviour, once: () => void, changes: Partial<RunRequest>) => {
    const { request } = await open(behaviour, {
      ...changes,
      onOutput: (chunk) => chunk.includes('hanging') && once(),
    });
    return { result: await runtime.run(request), request };
  };

  test('says that it is usable for what it then runs', async () => {
    const { request } = await open('works');
    expect(await runtime.usable(request.context)).toMatchObject({ usable: true });
  });

  test('runs an agent in its folder, with its output as it comes, in any script', async () => {
    const { request, output, file } = await open('works');
    const result = await runtime.run(request);
    expect(result).toMatchObject({ ok: true, code: null, exitCode: 0, signal: null });
    expect(output.join('')).toContain('hello from the agent');
    expect(result.outputTail).toContain('hello from the agent');
    expect(await file('made.txt')).toBe('Grüße, 世界');
  });

  test('gives the agent its whole prompt, long and in any script', async () => {
    const prompt = `Begin 世界\n${'A line of the prompt.\n'.repeat(10_000)}"quotes" $(and) \`more\`\nEnd`;
    const { request, file } = await open('keeps_prompt', { prompt });
    expect(await runtime.run(request)).toMatchObject({ ok: true });
    expect(await file('prompt.txt')).toBe(prompt);
  });

  test('does not mind an agent that never reads its prompt, however long that is', async () => {
    const { request } = await open('works', { prompt: 'A line that nobody reads.\n'.repeat(20_000) });
    expect(await runtime.run(request)).toMatchObject({ ok: true });
  });

  test('shows output while the agent runs', async () => {
    const at: number[] = [];
    const { request } = await open('speaks_slowly', { onOutput: () => at.push(performance.now()) });
    await runtime.run(request);
    expect((at.at(-1) ?? 0) - (at[0] ?? 0)).toBeGreaterThan(200);
  });

  test('gives the agent the allow-listed environment and what was asked for, and no secret of ours', async () => {
    process.env.NEXUS_CONFORMANCE_TOKEN = 'must-not-be-seen';
    const { request, file } = await open('keeps_environment', {
      env: { NEXUS_TASK: 'a-task', NEXUS_ROLE: 'builder' },
    });
    await runtime.run(request);
    delete process.env.NEXUS_CONFORMANCE_TOKEN;
    const environment = await file('env.txt');
    expect(environment).toContain('NEXUS_TASK=a-task');
    expect(environment).toContain('NEXUS_ROLE=builder');
    expect(environment).toContain(`NEXUS_MARK=${request.mark}`);
    expect(environment).not.toContain('must-not-be-seen');
    const known = [...Object.keys(allowedEnv()), 'PWD', 'OLDPWD', 'SHLVL', '_'];
    const foreign = environment.split('\n').map((line) => line.split('=')[0] ?? '');
    expect(
      foreign.filter(
        (variable) =>
          variable &&
          !known.includes(variable) &&
          !variable.startsWith('NEXUS_') &&
          !conformance.environment?.test(variable),
      ),
    ).toEqual([]);
  });

  test('reports a failure as a code, with the exit code', async () => {
    const { request } = await open('fails');
    const exitCode = conformance.exitCodeOfFailure ?? 3;
    expect(await runtime.run(request)).toMatchObject({ ok: false, code: 'AGENT_FAILED', exitCode });
  });

  test('reports a crash as a code', async () => {
    const { request } = await open('crashes');
    const code = conformance.codeOfCrash ?? 'AGENT_CRASHED';
    expect(await runtime.run(request)).toMatchObject({ ok: false, code });
  });

  test.each(['hangs', 'hangs_stubbornly'] as const)(
    'ends an agent that %s within two seconds of an abort',
    async (how) => {
      const abort = new AbortController();
      let aborted = 0;
      const once = () => {
        aborted ||= performance.now();
        abort.abort(fail('STOPPED', { epoch: 2 }));
      };
      const { result, request } = await hang(how, once, { signal: abort.signal });
      expect(result).toMatchObject({ ok: false, code: 'STOPPED' });
      expect(performance.now() - aborted).toBeLessThan(2000);
      expect(marked(request.mark)).toEqual([]);
    },
  );

  test('starts nothing when it is aborted before', async () => {
    const { request, output } = await open('works', {
      signal: AbortSignal.abort(fail('TASK_ENDED', { task: 'a-task', status: 'cancelled' })),
    });
    expect(await runtime.run(request)).toMatchObject({ ok: false, code: 'TASK_ENDED' });
    expect(output).toEqual([]);
    expect(existsSync(join(request.folder, 'made.txt'))).toBe(false);
  });

  test('ends an agent at the end of its time box', async () => {
    const { result, request } = await hang('hangs', () => undefined, { timeBoxMs: 800 });
    expect(result).toMatchObject({ ok: false, code: 'AGENT_TIMED_OUT' });
    expect(marked(request.mark)).toEqual([]);
  });

  test('ends an agent that prints too much, and keeps what came before', async () => {
    const { request } = await open('floods', { outputBytesMax: 50_000 });
    const result = await runtime.run(request);
    expect(result).toMatchObject({ ok: false, code: 'AGENT_OUTPUT_LIMIT' });
    expect(result.outputTail).toContain('this never ends');
    expect(marked(request.mark)).toEqual([]);
  });

  test('leaves no process behind, not even in a session of its own, and counts what it ended', async () => {
    const { request } = await open('leaves_background');
    const result = await runtime.run(request);
    expect(result).toMatchObject({ ok: true });
    expect(result.leftBehind).toBeGreaterThan(0);
    expect(marked(request.mark)).toEqual([]);
    expect(await workingIn(request.folder)).toEqual([]);
  });

  test('goes on: from the session where it can, else anew with the prompt that it is given', async () => {
    const { request, file } = await open('keeps_prompt', { prompt: 'Go on from here.', session: 'an-earlier-one' });
    const result = await (runtime as Runtime).resume('an-earlier-one', request);
    expect(result).toMatchObject({ ok: true });
    if (!runtime.capabilities.resume) expect(await file('prompt.txt')).toBe('Go on from here.');
  });

  test('tells what it cost only if it knows', async () => {
    const { request } = await open('works');
    const { cost } = await runtime.run(request);
    if (!runtime.capabilities.cost) expect(cost).toEqual({ usd: null, tokens: null });
    else expect(cost.tokens).toBeGreaterThanOrEqual(0);
  });

  test('ends where its budget is spent, if it knows what it costs', async () => {
    const { request } = await open('works', { budget: { usd: null, tokens: 1 } });
    const result = await runtime.run(request);
    if (runtime.capabilities.cost) expect(result).toMatchObject({ ok: false, code: 'BUDGET_SPENT' });
    else expect(result).toMatchObject({ ok: true, cost: { usd: null, tokens: null } });
    expect(marked(request.mark)).toEqual([]);
  });

  test('says who pays, or asks before each call, if it knows what it costs', async () => {
    const { request } = await open('works');
    let calls = 0;
    const none = async () => undefined;
    const reserve: SpendGate['reserve'] = async () => {
      calls += 1;
      return { settle: none, release: none, limited: none, failed: none };
    };
    await runtime.run({ ...request, spend: { reserve } });
    const payer = await (runtime as Runtime).payer?.(request.context, agent);
    if (!runtime.capabilities.cost) expect(calls).toBe(0);
    else if (calls === 0) expect(payer).toMatchObject({ account: expect.stringMatching(/./), notional: false });
    else expect(payer).toBeUndefined();
  });
});
