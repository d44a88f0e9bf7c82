/** Conversations of the loop: kept within their room, and gone on with in another run. */
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { fail } from '@nexus/shared/errors';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { call, contextOf, finish, type More, playOpenai, said } from '../../../test/tools/openai-agent.ts';
import type { Reply, Script } from '../../../test/tools/openai-api/openai-api.ts';
import { runtime } from '../runtimes/openai.ts';

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'nexus-loop-'));
});
afterEach(() => rm(folder, { recursive: true, force: true }));
const play = (script: Script, more?: More) => playOpenai(folder, script, more);

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
