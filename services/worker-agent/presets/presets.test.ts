/** Each preset with a program in place of the real one, which prints what the real one is documented to print. */
import { chmod, mkdir, mkdtemp, readdir, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { homedir, tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import type { AgentDefinition } from '@nexus/shared/catalog';
import { allowedEnv, probeSandbox } from '@nexus/shared/process';
import { afterEach, beforeEach, describe, expect, onTestFinished, test } from 'vitest';
import { leaveOut } from '../../../test/tools/machine.ts';
import { runtime } from '../runtimes/command.ts';
import type { AgentEvent, RunRequest } from '../runtimes.ts';
import { sweepConversations } from './run-preset.ts';

const { usable, says: whatSandbox } = await probeSandbox();
leaveOut('the sandbox', usable ? null : whatSandbox);

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'nexus-preset-'));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

/** What the programs print for: a word, a command that is run, the end. */
const told: Record<string, unknown[]> = {
  codex: [
    { type: 'thread.started', thread_id: 'the-session' },
    { type: 'turn.started' },
    { type: 'item.started', item: { id: 'i1', type: 'command_execution', command: 'ls' } },
    { type: 'item.completed', item: { id: 'i1', type: 'command_execution', aggregated_output: 'a.txt', exit_code: 0 } },
    { type: 'item.completed', item: { id: 'i2', type: 'agent_message', text: 'hello from the agent' } },
    { type: 'turn.completed', usage: { input_tokens: 100, cached_input_tokens: 40, output_tokens: 7 } },
  ],
  gemini: [
    { type: 'init', session_id: 'the-session', model: 'gemini-x' },
    { type: 'tool_use', tool_id: 'i1', tool_name: 'shell', parameters: { command: 'ls' } },
    { type: 'tool_result', tool_id: 'i1', status: 'success', output: 'a.txt' },
    { type: 'message', role: 'assistant', content: 'hello from the agent', delta: true },
    { type: 'result', status: 'success', stats: { input_tokens: 100, output_tokens: 7, cached: 40 } },
  ],
  opencode: [
    { type: 'step_start', sessionID: 'the-session', part: {} },
    {
      type: 'tool_use',
      sessionID: 'the-session',
      part: { callID: 'i1', tool: 'shell', state: { status: 'completed', input: { command: 'ls' }, output: 'a.txt' } },
    },
    { type: 'text', sessionID: 'the-session', part: { text: 'hello from the agent' } },
    {
      type: 'step_finish',
      sessionID: 'the-session',
      part: { cost: 0.02, tokens: { input: 60, output: 7, cache: { read: 40, write: 0 } } },
    },
  ],
};
const broken: Record<string, unknown> = {
  codex: { type: 'turn.failed', error: { message: 'the disk is gone' } },
  gemini: { type: 'error', severity: 'error', message: 'the disk is gone' },
  opencode: { type: 'error', error: { name: 'x', data: { message: 'the disk is gone' } } },
};

/** A program of that name, first on the path: it keeps its arguments and its prompt, and prints these events. */
const play = async (name: string, events: readonly unknown[], more: { exit?: string } & Partial<RunRequest> = {}) => {
  const { exit = 'exit 0', ...changes } = more;
  const program = join(folder, name);
  const lines = events.map((event) => `echo '${JSON.stringify(event)}'`);
  const body = [
    `printf '%s\\n' "$@" >> ${folder}/arguments`,
    `cat > ${folder}/prompt`,
    'echo starting >&2',
    ...lines,
    exit,
  ];
  await writeFile(program, `#!/bin/sh\n${body.join('\n')}\n`);
  await chmod(program, 0o755);
  const seen: AgentEvent[] = [];
  const sessions: string[] = [];
  const notices: string[] = [];
  let output = '';
  const request = {
    ids: { taskId: 'a-task', subtaskId: 'a-subtask', attempt: 1, role: 'builder', kind: 'code' },
    agent: { agent_id: 'code', name: 'Code', role: 'builder', tools: [] } as unknown as AgentDefinition,
    ...{ prompt: 'Do it: größer.', folder, session: null, mark: `preset-${process.pid}-${name}` },
    env: { PATH: `${folder}:${allowedEnv().PATH}` },
    ...{ timeBoxMs: 20_000, outputBytesMax: 1_000_000, signal: new AbortController().signal },
    onOutput: (chunk: string) => {
      output += chunk;
    },
    onEvent: (event: AgentEvent) => seen.push(event),
    onSession: (id: string) => sessions.push(id),
    onNotice: (says: string) => notices.push(says),
    context: { agentCommand: name, rehearsal: false, task: null },
    ...changes,
  } as RunRequest;
  const result = await (request.session === null ? runtime.run(request) : runtime.resume(request.session, request));
  const read = (file: string) => readFile(join(folder, file), 'utf8');
  return {
    result,
    seen,
    sessions,
    notices,
    output,
    words: (await read('arguments')).trim().split('\n'),
    prompt: await read('prompt'),
  };
};

describe.each(Object.keys(told))('the preset %s', (name) => {
  const events = told[name] ?? [];

  test('has its events read: words, deeds, session and what was used', async () => {
    const { result, seen, sessions, output, prompt } = await play(name, events);
    const usage = { input_tokens: 60, output_tokens: 7, cache_read_tokens: 40, cache_write_tokens: 0 };
    expect(result).toMatchObject({ ok: true, exitCode: 0, sessionId: 'the-session', toolCalls: 1, usage });
    expect(result.cost).toEqual({ tokens: 107, usd: name === 'opencode' ? 0.02 : null });
    expect(sessions).toEqual(['the-session']);
    expect(output).toContain('starting\n');
    expect(output).toContain('hello from the agent\n');
    expect(output).not.toContain('{"type"');
    expect(prompt).toBe('Do it: größer.');
    expect(seen.map(({ kind }) => kind).sort()).toEqual(['text', 'tool_call', 'tool_result', 'usage']);
    expect(seen).toContainEqual({ kind: 'tool_result', id: 'i1', ok: true, text: 'a.txt' });
  });

  test('is called so that nobody is asked anything, with the model that was named', async () => {
    const { words } = await play(name, events, { model: 'a-model' });
    expect(words.join(' ')).toMatch(/--json|stream-json|--format json/);
    expect(words[words.indexOf('--model') + 1]).toBe('a-model');
    expect(words.join(' ')).not.toMatch(/[{}]/);
  });

  test('goes on with its conversation, or begins anew where that is gone, and says so', async () => {
    const { words } = await play(name, events, { session: 'the-session' });
    expect(words).toContain('the-session');
    const gone = await play(name, [], {
      session: 'gone',
      exit: '[ "$(grep -c gone arguments)" = 1 ] && exit 1; exit 0',
    });
    expect(gone.notices).toEqual([`begins a new conversation: ${name} did not go on with gone`]);
  });

  test('fails with what it told, also where it ends as if all were well', async () => {
    const { result } = await play(name, [events[0], broken[name]]);
    expect(result).toMatchObject({ ok: false, code: 'AGENT_FAILED', says: 'the disk is gone' });
    expect(result.parked).toBeUndefined();
    const { result: other } = await play(name, [broken[name]], { exit: 'exit 7' });
    expect(other.says).toBe('The agent ended with exit code 7. the disk is gone');
  });

  test('is put aside where its provider takes no more, in whichever words it tells so', async () => {
    for (const words of [
      '429 Too Many Requests',
      'Your usage limit is reached',
      'RESOURCE_EXHAUSTED: quota exceeded',
    ]) {
      const told = JSON.parse(JSON.stringify(broken[name]).replace('the disk is gone', words)) as object;
      const { result } = await play(name, [events[0], told], { exit: 'exit 1' });
      const parked = {
        until: expect.any(Number),
        code: 'MODEL_LIMITED',
        says: expect.stringContaining(words),
        account: name,
      };
      expect(result).toMatchObject({ ok: false, code: 'MODEL_LIMITED', parked });
    }
  });
});

test('the exit codes that a program explains are explained', async () => {
  const { result } = await play('gemini', [], { exit: 'exit 53' });
  expect(result.says).toContain('it came to its limit of turns');
});

/** The folder of each program, with its login and what another task did there, and what is kept of the person's. */
const kept: Record<string, { folder: string; login: string; theirs: string[] }> = {
  codex: {
    ...{ folder: '.codex', login: 'auth.json' },
    theirs: ['sessions/2026/11/21/rollout-other.jsonl', 'history.jsonl', 'state_5.sqlite', 'state_5.sqlite-wal'],
  },
  gemini: {
    folder: '.gemini',
    login: 'oauth_creds.json',
    theirs: [
      'tmp/ab12/chats/session-other.json',
      'antigravity-cli/history.jsonl',
      'antigravity/conversations/other.pb',
    ],
  },
  opencode: {
    ...{ folder: '.local/share/opencode', login: 'auth.json' },
    theirs: ['opencode.db', 'storage/session/other.json', 'snapshot/other/HEAD'],
  },
};

test.runIf(usable).each(Object.entries(kept))(
  'in the sandbox %s has its login, sees the conversations of its own subtask, and none of another',
  async (name, { folder: root, login, theirs }) => {
    const [person, home] = [
      await mkdtemp(join(tmpdir(), 'nexus-person-')),
      await mkdtemp(join(tmpdir(), 'nexus-home-')),
    ];
    onTestFinished(async () => {
      for (const path of [person, home]) await rm(path, { recursive: true, force: true });
    });
    const [first = ''] = theirs;
    for (const file of theirs) {
      await mkdir(dirname(join(person, root, file)), { recursive: true });
      await writeFile(join(person, root, file), 'Their word is quince.\n');
    }
    await writeFile(join(person, root, login), 'my login is kept\n');
    const sandbox = { writable: [], hidden: [home, join(person, root)], network: true };
    const guard = { fence: { limits: {}, sandbox } } as unknown as NonNullable<RunRequest['guard']>;
    const attempt = (subtaskId: string, word: string) =>
      play(name, [], {
        ids: { taskId: 'a-task', subtaskId, attempt: 1, role: 'builder', kind: 'code' },
        ...{ guard, env: { PATH: `${folder}:${allowedEnv().PATH}`, HOME: person } },
        context: { agentCommand: name, rehearsal: false, task: null, settings: { home } } as RunRequest['context'],
        exit: `cd "$HOME/${root}"; grep -rhoE '(word|login) is [a-z]+' . >&2; echo again >> ${login}
mkdir -p ${dirname(first)}; echo 'My word is ${word}.' >> ${first}`,
      });
    const one = await attempt('one', 'plum');
    expect(one.result).toMatchObject({ ok: true });
    expect(one.output).toContain('login is kept');
    expect(one.output).not.toContain('word is');
    expect((await attempt('two', 'pear')).output).not.toContain('word is');
    const again = await attempt('one', 'plum');
    expect(again.output).toContain('word is plum');
    expect(again.output).not.toMatch(/pear|quince/);
    expect(await readFile(join(person, root, login), 'utf8')).toBe('my login is kept\nagain\nagain\nagain\n');
    expect(await readFile(join(person, root, first), 'utf8')).toBe('Their word is quince.\n');
  },
);

test.runIf(usable)('a login or setting that is a link is there, and no link shows what is hidden', async () => {
  // Not below /tmp, which nobody sees of the sandbox.
  const person = await mkdtemp(join(homedir(), 'nexus-person-'));
  onTestFinished(() => rm(person, { recursive: true, force: true }));
  const [root, dotfiles, secret] = [join(person, 'real/.codex'), join(person, 'dotfiles'), join(person, '.secret')];
  for (const path of [join(root, 'sessions'), join(dotfiles, 'in'), secret]) await mkdir(path, { recursive: true });
  await writeFile(join(dotfiles, 'auth.json'), 'my login is kept\n');
  await writeFile(join(dotfiles, 'in/prompt.md'), 'my prompt is linked\n');
  for (const path of [join(secret, 'x'), join(root, 'sessions/x')]) await writeFile(path, 'their word is quince\n');
  await symlink(join(person, 'real/.codex'), join(person, '.codex'));
  const links = { 'auth.json': join(dotfiles, 'auth.json'), prompts: join(dotfiles, 'in'), alias: 'auth.json' };
  const bad = { file: join(secret, 'x'), place: secret, around: person, self: '.', talks: 'sessions' };
  for (const [name, to] of Object.entries({ ...links, ...bad })) await symlink(to, join(root, name));
  const sandbox = { writable: [], hidden: [root, secret], network: true };
  const { result, output, notices } = await play('codex', [], {
    guard: { fence: { limits: {}, sandbox } } as unknown as NonNullable<RunRequest['guard']>,
    env: { PATH: `${folder}:${allowedEnv().PATH}`, HOME: person },
    context: {
      ...{ agentCommand: 'codex', rehearsal: false, task: null },
      settings: { home: join(folder, 'home') },
    } as RunRequest['context'],
    exit: `cd "$HOME/.codex"; cat auth.json alias prompts/* >&2; grep -Rhs 'word is' . >&2
echo again >> auth.json; echo more >> ${join(dotfiles, 'auth.json')}; ls >&2; exit 0`,
  });
  expect(result).toMatchObject({ ok: true });
  expect(output.match(/login is kept|prompt is linked/g)).toHaveLength(3);
  expect(output).not.toContain('quince');
  expect(await readFile(join(dotfiles, 'auth.json'), 'utf8')).toBe('my login is kept\nagain\n');
  expect(notices.map((says) => says.match(/codex\/(\w+):/)?.[1]).sort()).toEqual(Object.keys(bad).sort());
});

test('the conversations of a task that is gone go with their time, those of others stay', async () => {
  for (const task of ['gone', 'here']) await mkdir(join(folder, 'conversations', task, 'one'), { recursive: true });
  const isGone = async (task: string) => task === 'gone';
  const sweep = (now: number) => sweepConversations({ home: folder, keepMs: 60_000, now, isGone });
  expect(await sweep(Date.now())).toBe(0);
  expect(await sweep(Date.now() + 120_000)).toBe(1);
  expect(await readdir(join(folder, 'conversations'))).toEqual(['here']);
});

test('what another worker sweeps at the same time is passed over', async () => {
  for (const task of ['a', 'b', 'c']) await mkdir(join(folder, 'conversations', task), { recursive: true });
  const isGone = async (task: string) => {
    const others = ['a', 'b', 'c'].filter((other) => other !== task);
    for (const other of others) await rm(join(folder, 'conversations', other), { recursive: true, force: true });
    return true;
  };
  const now = Date.now() + 120_000;
  expect(await sweepConversations({ home: folder, keepMs: 60_000, now, isGone })).toBe(1);
  expect(await readdir(join(folder, 'conversations'))).toEqual([]);
});
