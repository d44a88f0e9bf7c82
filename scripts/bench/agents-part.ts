/** What the parts of the benchmark of agents stand on: a fleet, a scripted model, and the journal as it grows. */
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import type { Bus, JournalEntry } from '@nexus/shared/bus';
import { openMessagesApi, type Script } from '../../test/tools/messages-api/messages-api.ts';
import { provideClaude } from '../provide-claude.mjs';
import { type BenchFleet, withFleet } from './bench-fleet.ts';
import type { PartTools } from './bench-run.ts';
import type { Measured } from './part.ts';
import { openProduct } from './product.ts';
import type { Server } from './server.ts';

export type AgentsBench = PartTools & {
  server: Server;
  rounds: number;
  /** Sizes that only show that it works. */
  small: boolean;
};
export type AgentsPart = (bench: AgentsBench) => Promise<Measured>;

/** All that was written into the journal of a fabric since this was opened. */
export type Journal = {
  entries: readonly JournalEntry[];
  /** The first entry that is looked for, also one that is there already. Throws after `withinMs`. */
  until<T>(what: string, find: (entry: JournalEntry) => T | null, withinMs?: number): Promise<T>;
  /** The process of an instance, as it tells itself. */
  pidOf(instanceId: string): Promise<number>;
  close(): Promise<void>;
};

const patienceMs = 120_000;

/** What is waited for, or an error that says what did not come to pass. */
export const inTime = async <T>(what: string, promise: Promise<T>, withinMs = patienceMs): Promise<T> => {
  const late = Promise.withResolvers<never>();
  const timer = setTimeout(() => late.reject(new Error(lateText(what, withinMs))), withinMs);
  return Promise.race([promise, late.promise]).finally(() => clearTimeout(timer));
};

const lateText = (what: string, ms: number): string => `it did not come to pass within ${ms / 1000} s: ${what}`;

export const openJournal = async (server: Server, prefix: string): Promise<Journal> => {
  const bus = await openProduct({ redisUrl: server.url, prefix }, 'gateway', true);
  const entries: JournalEntry[] = [];
  const listeners = new Set<(entry: JournalEntry) => void>();
  const ending = new AbortController();
  const following = follow(bus, ending.signal, (entry) => {
    entries.push(entry);
    for (const listener of listeners) listener(entry);
  });
  return {
    entries,
    until: (what, find, withinMs = patienceMs) =>
      new Promise((resolve, reject) => {
        const found = (value: NonNullable<ReturnType<typeof find>>): void => {
          clearTimeout(timer);
          listeners.delete(listener);
          resolve(value);
        };
        const listener = (entry: JournalEntry): void => {
          const value = find(entry);
          if (value !== null && value !== undefined) found(value);
        };
        const late = () => {
          listeners.delete(listener);
          reject(new Error(lateText(what, withinMs)));
        };
        const timer = setTimeout(late, withinMs);
        listeners.add(listener);
        for (const entry of [...entries]) if (listeners.has(listener)) listener(entry);
      }),
    pidOf: async (instanceId) => {
      const found = (await bus.presences()).find((one) => one.instance_id === instanceId);
      if (found === undefined) throw new Error(`nobody has heard of ${instanceId}`);
      return found.pid;
    },
    close: async () => {
      ending.abort();
      await following;
      await bus.close();
    },
  };
};

const follow = async (bus: Bus, signal: AbortSignal, onEntry: (entry: JournalEntry) => void): Promise<void> => {
  for await (const entry of bus.follow({ after: '0-0', signal })) onEntry(entry);
};

/** A message as the journal tells of it; `at` is when it was written there. What is large it leaves out. */
export type Told = { at: number; id: string; task: string; from: string };

/** The message of this kind that an entry tells of; null: it tells of none. */
export const messageIn = ({ kind, at, body }: JournalEntry, type: string): Told | null => {
  const message = body as { type?: string; message_id: string; conversation_thread: string; from: Sender };
  if (kind !== 'message' || message.type !== type) return null;
  return { at, id: message.message_id, task: message.conversation_thread, from: message.from.instance_id };
};
type Sender = { instance_id: string };

/** The first message of a kind about a task that fits. */
export const messageOf = (
  journal: Journal,
  type: string,
  task: string,
  fits: (message: Told) => boolean = () => true,
): Promise<Told> =>
  journal.until(`${type} of ${task}`, (entry) => {
    const message = messageIn(entry, type);
    return message?.task === task && fits(message) ? message : null;
  });

export type ClaudeGround = {
  fleet: BenchFleet;
  journal: Journal;
  /** The real CLI. */
  program: string;
  /** The address of the model that the fleet's agents talk to. */
  url: string;
  environment: Record<string, string>;
};

/** A fleet whose agents are the real CLI of Claude Code, and whose model does as `script` says. */
export const withClaude = async <T>(
  { server }: AgentsBench,
  { script, workers = 1, settings = {} }: { script: Script; workers?: number; settings?: Record<string, string> },
  use: (ground: ClaudeGround) => Promise<T>,
): Promise<T> => {
  await using api = await openMessagesApi();
  const url = api.script('agents', script);
  const program = provideClaude();
  const environment = {
    ...{ NEXUS_RUNTIME: 'claude-code', NEXUS_CLAUDE_PROGRAM: program, NEXUS_CLAUDE_LOGIN: 'api_key' },
    ...{ ANTHROPIC_API_KEY: 'sk-ant-nobody', ANTHROPIC_BASE_URL: url },
    ...{ NEXUS_SANDBOX: 'auto', NEXUS_DISK_RESERVE: '0', ...settings },
  };
  const withFolder = (folder: string): Record<string, string> => {
    const conversations = join(folder, 'conversations');
    mkdirSync(conversations, { recursive: true });
    return { ...environment, NEXUS_CLAUDE_FOLDER: conversations };
  };
  return await withFleet(
    server,
    workers,
    async (fleet) => {
      const journal = await openJournal(server, fleet.prefix);
      try {
        return await use({ fleet, journal, program, url, environment });
      } finally {
        await journal.close();
      }
    },
    withFolder,
  );
};
