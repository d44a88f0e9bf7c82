/** The command line in process, as a person types it, against a real HTTP server that answers as a gateway would. */
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { json } from 'node:stream/consumers';
import { onTestFinished } from 'vitest';
import { readConfig } from '../../services/cli/config.ts';
import { runCommand } from '../../services/cli/program.ts';

export type Call = { method: string; path: string; body: unknown; token: string | undefined };
/** `headers`: of each call, in their order. */
export type Gateway = { url: string; calls: Call[]; headers: IncomingMessage['headers'][] };
export type Answer = (call: Call, response: ServerResponse) => void;

/** A folder of the test's own. */
export const openHome = (): string => {
  const home = mkdtempSync(join(tmpdir(), 'nexus-cli-'));
  onTestFinished(() => rmSync(home, { recursive: true, force: true }));
  return home;
};

/** A gateway that answers every call with what `answer` writes; returns its address and what it was asked. */
export const gateway = async (answer: Answer): Promise<Gateway> => {
  const calls: Call[] = [];
  const all: IncomingMessage['headers'][] = [];
  const handle = async (request: IncomingMessage, response: ServerResponse) => {
    const { method = '', url = '', headers } = request;
    const body = ['POST', 'PATCH'].includes(method) ? await json(request).catch(() => null) : null;
    const call = { method, path: url, body, token: headers.authorization };
    calls.push(call);
    all.push(headers);
    response.setHeader('content-type', 'application/json');
    answer(call, response);
  };
  const server = createServer((request, response) => void handle(request, response)).listen(0, '127.0.0.1');
  await once(server, 'listening');
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, calls, headers: all };
};

/** A gateway that answers with JSON: what `answers` has for `METHOD /path`, else 404. */
export const answering = (answers: Record<string, unknown>) =>
  gateway(({ method, path }, response) => {
    const answer = answers[`${method} ${path}`] ?? answers[`${method} ${path.split('?', 1)[0]}`];
    if (answer === undefined) response.statusCode = 404;
    response.end(JSON.stringify(answer ?? { code: 'LETTER_UNKNOWN', detail: `There is no ${path}.` }));
  });

type More = {
  signal?: AbortSignal;
  ask?: (question: string) => Promise<string>;
  env?: Record<string, string>;
  /** Standard output is a terminal of this size; left out, it is none. */
  terminal?: { columns: number; rows: number };
};

/** Runs one command line; returns its exit code and what it wrote. */
export const runNexus = async (home: string, words: string[], url: string, more: More = {}) => {
  const written = { out: '', err: '' };
  const sink = (name: 'out' | 'err') => ({
    write: (text: string) => {
      written[name] += text;
    },
  });
  const code = await runCommand(words, {
    readConfig: () => readConfig({ NEXUS_URL: url, NEXUS_TOKEN: 'secret', NEXUS_HOME: home, ...more.env }),
    stdout: { ...sink('out'), ...(more.terminal && { isTTY: true, ...more.terminal }) },
    stderr: sink('err'),
    signal: more.signal ?? new AbortController().signal,
    ...(more.ask === undefined ? {} : { ask: more.ask }),
  });
  return { code, ...written };
};
