/**
 * A lock between the processes of one machine: a socket with a name that only one of them can listen on. The kernel
 * closes it with its process, however that ends, so nothing that was left over has to be judged by its age; and who
 * waits holds a connection to it, so the end of the holder wakes it at once.
 *
 * It keeps work from being done twice, or two from counting at once. Whoever cannot have it in time is told so, and
 * has to be right without it: in containers that share a folder, but no network, each has its own.
 */
import { createHash } from 'node:crypto';
import { rm } from 'node:fs/promises';
import { connect, createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** Gives the lock back. */
export type Release = () => void;

/** So long at most until it is asked for again, whatever was missed. */
const lookEveryMs = 1000;

/** Takes the lock, within `waitMs` (0: now or never); null: somebody else has it. Throws the signal's reason. */
export const lockOnMachine = async (
  name: string,
  { waitMs, signal }: { waitMs: number; signal?: AbortSignal | undefined },
): Promise<Release | null> => {
  const address = addressOf(name);
  const until = performance.now() + waitMs;
  for (;;) {
    signal?.throwIfAborted();
    const release = await listenOn(address);
    if (release !== null) return release;
    const left = until - performance.now();
    if (left <= 0) return null;
    await endOfHolder(address, Math.min(left, lookEveryMs), signal);
  }
};

/** Linux knows names that are no files; elsewhere it is a file, which outlives a process that was killed. */
const addressOf = (name: string): string => {
  const hash = createHash('sha256').update(name).digest('hex').slice(0, 40);
  return isFileless ? `\0nexus-${hash}` : join(tmpdir(), `nexus-${hash}.sock`);
};
const isFileless = process.platform === 'linux';

const listenOn = (address: string): Promise<Release | null> =>
  new Promise((resolve, reject) => {
    const waiting = new Set<Socket>();
    const server = createServer((socket) => {
      waiting.add(socket);
      socket.unref();
      socket.on('error', () => undefined);
      socket.on('close', () => waiting.delete(socket));
    });
    server.on('error', (error: NodeJS.ErrnoException) => {
      if (error.code === 'EADDRINUSE') resolve(null);
      else reject(error);
    });
    server.listen({ path: address, exclusive: true }, () => {
      server.unref();
      resolve(() => {
        server.close();
        for (const socket of waiting) socket.destroy();
      });
    });
  });

/** Waits until whoever listens there ends or lets go, so long at most. */
const endOfHolder = (address: string, waitMs: number, signal: AbortSignal | undefined): Promise<void> =>
  new Promise((resolve) => {
    const socket = connect({ path: address });
    const end = (): void => {
      clearTimeout(timer);
      signal?.removeEventListener('abort', end);
      socket.destroy();
      resolve();
    };
    const timer = setTimeout(end, waitMs);
    signal?.addEventListener('abort', end, { once: true });
    if (signal?.aborted) end();
    socket.on('close', end);
    socket.on('error', (error: NodeJS.ErrnoException) => {
      // Nobody listens on the file that a killed process left.
      if (!isFileless && error.code === 'ECONNREFUSED') void rm(address, { force: true }).finally(end);
    });
    socket.resume();
  });
