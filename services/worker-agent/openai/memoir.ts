/**
 * Conversations as files, a message a line: what an agent goes on with in another run, another process, or, carried
 * there, on another machine. They lie below NEXUS_HOME, one file each, named by their ids.
 *
 * A run may have ended in the middle of a step. What was asked for and never answered is answered then: that nobody
 * knows whether it happened. A line that was cut off is left out, with all after it.
 */
import { randomUUID } from 'node:crypto';
import { appendFile, mkdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { ChatMessage } from '@nexus/shared/model';
import { z } from 'zod';
import type { Conversation as Earlier } from '../runtimes.ts';

export type Memoir = {
  id: string;
  /** What was said before; empty for a new conversation. */
  before: ChatMessage[];
  /** Writes messages down, in order, some time soon. */
  keep(messages: readonly ChatMessage[]): void;
  /** All that was kept is written. Throws what kept it from that. */
  close(): Promise<void>;
};

const call = z.object({ id: z.string(), tool: z.string(), input: z.string() });
const message: z.ZodType<ChatMessage> = z.discriminatedUnion('role', [
  z.object({ role: z.literal('system'), content: z.string() }),
  z.object({ role: z.literal('user'), content: z.string() }),
  z.object({ role: z.literal('assistant'), content: z.string(), calls: z.array(call) }),
  z.object({ role: z.literal('tool'), id: z.string(), content: z.string() }),
]);

/** The file of a conversation; null where there can be none. */
export const memoirPath = (home: string | undefined, id: string): string | null =>
  home === undefined || !/^[0-9a-f-]{36}$/.test(id) ? null : join(home, 'conversations', `${id}.jsonl`);

export const memoirOf = async (home: string | undefined, id: string): Promise<string | null> => {
  const path = memoirPath(home, id);
  return path !== null && (await stat(path).catch(() => null))?.isFile() ? path : null;
};

export const forgetMemoir = async (home: string | undefined, id: string): Promise<boolean> => {
  const path = await memoirOf(home, id);
  if (path === null) return false;
  await rm(path, { force: true });
  return true;
};

/** Opens a new conversation, or one that goes on: under its own id, or as a copy where somebody may still be in it. */
export const openMemoir = async (
  home: string | undefined,
  session: string | null,
  earlier: Earlier | null,
): Promise<Memoir> => {
  const own = session === null ? null : (earlier?.transcript ?? (await memoirOf(home, session)));
  const before = own === null ? [] : whole(readLines(await readFile(own, 'utf8').catch(() => '')));
  const id = session !== null && before.length > 0 && !earlier?.fork ? session : randomUUID();
  const path = memoirPath(home, id);
  let written: Promise<void> = Promise.resolve();
  if (path !== null) {
    await mkdir(dirname(path), { recursive: true, mode: 0o700 });
    await writeFile(path, linesOf(before), { mode: 0o600 });
  }
  return {
    id,
    before,
    keep: (messages) => {
      if (path !== null) written = written.then(() => appendFile(path, linesOf(messages)));
      written.catch(() => undefined);
    },
    close: () => written,
  };
};

const linesOf = (messages: readonly ChatMessage[]): string =>
  messages.map((one) => `${JSON.stringify(one)}\n`).join('');

const readLines = (text: string): ChatMessage[] => {
  const messages: ChatMessage[] = [];
  for (const line of text.split('\n')) {
    if (line === '') continue;
    try {
      messages.push(message.parse(JSON.parse(line)));
    } catch {
      break;
    }
  }
  return messages;
};

/** A server refuses calls without answers, and answers that nobody asked for. */
const whole = (messages: readonly ChatMessage[]): ChatMessage[] => {
  const kept: ChatMessage[] = [];
  let open: string[] = [];
  const answerOpen = (): void => {
    const content = '(interrupted: nobody knows whether this happened; look before you do it again)';
    kept.push(...open.map((id): ChatMessage => ({ role: 'tool', id, content })));
    open = [];
  };
  for (const one of messages) {
    if (one.role === 'tool') {
      if (!open.includes(one.id)) continue;
      open = open.filter((id) => id !== one.id);
    } else {
      answerOpen();
      if (one.role === 'assistant') open = one.calls.map(({ id }) => id);
    }
    kept.push(one);
  }
  answerOpen();
  return kept.length < 2 ? [] : kept;
};
