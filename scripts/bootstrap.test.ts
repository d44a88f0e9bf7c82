import { type ChildProcessByStdio, spawn } from 'node:child_process';
import { once } from 'node:events';
import { globSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { type AddressInfo, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join, posix } from 'node:path';
import type { Readable } from 'node:stream';
import { text } from 'node:stream/consumers';
import { afterAll, expect, test } from 'vitest';
import { ping, provideRedis, Unavailable } from './provide-redis.mjs';

type Child = ChildProcessByStdio<null, Readable, Readable>;

const folder = mkdtempSync(join(tmpdir(), 'nexus-bootstrap-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const bootstrap = (source: string, more: Record<string, string> = {}): Child => {
  const script = join(folder, `${Math.random().toString(36).slice(2)}.ts`);
  writeFileSync(script, source);
  const words = [
    join(import.meta.dirname, 'bootstrap.mjs'),
    ...(more.REDIS_URL ? [] : ['--no-redis']),
    script,
    'a',
    'b',
  ];
  return spawn(process.execPath, words, { stdio: ['ignore', 'pipe', 'pipe'], env: { ...process.env, ...more } });
};

const endOf = async (child: Child) => {
  const exit = once(child, 'exit');
  const [out, errors] = await Promise.all([text(child.stdout), text(child.stderr)]);
  return { code: (await exit)[0] as number, out, errors };
};

/** A server that answers every PING, as far as `ping` can tell a Redis. */
const pongServer = async (reply: string) => {
  const server = createServer((socket) => socket.on('data', () => socket.write(reply)).on('error', () => {}));
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return { url: `redis://127.0.0.1:${(server.address() as AddressInfo).port}`, close: () => server.close() };
};

test('the lock file knows the commands of our packages, for `npm ci` links no others', () => {
  const root = dirname(import.meta.dirname);
  const read = (path: string) => JSON.parse(readFileSync(join(root, path), 'utf8'));
  const { packages } = read('package-lock.json');
  const declared = globSync('services/*/package.json', { cwd: root }).flatMap((path) =>
    Object.entries<string>(read(path).bin ?? {}).map(([name, file]) => [dirname(path), name, posix.normalize(file)]),
  );
  expect(declared).toContainEqual(['services/cli', 'nexus', 'bin.mjs']);
  for (const [folder = '', name = '', file] of declared) expect(packages[folder].bin?.[name]).toBe(file);
});

test('the script runs on the project’s own Node, gets its arguments, and its exit code is ours', async () => {
  const source = 'console.log(process.versions.node.split(".")[0], ...process.argv.slice(2)); process.exit(7);';
  const { code, out } = await endOf(bootstrap(source));
  expect(code).toBe(7);
  expect(out).toMatch(/^2[6-9] a b\n$/);
});

test('a signal goes on to the script, which may end in its own way', async () => {
  const child = bootstrap(
    'process.on("SIGTERM", () => process.exit(5)); console.log("up"); setInterval(() => {}, 1e6);',
  );
  await once(child.stdout, 'data');
  child.kill('SIGTERM');
  expect((await endOf(child)).code).toBe(5);
});

test('a script that dies of a signal gives 128 and its number', async () => {
  expect((await endOf(bootstrap('process.kill(process.pid, "SIGKILL"); setInterval(() => {}, 1e6);'))).code).toBe(137);
});

test('a REDIS_URL that does not answer ends with 69 before the script starts, and shows no password', async () => {
  const { code, out, errors } = await endOf(
    bootstrap('console.log("ran")', { REDIS_URL: 'redis://ann:topsecret@127.0.0.1:1' }),
  );
  expect(code).toBe(69);
  expect(out).toBe('');
  expect(errors).toContain('ECONNREFUSED');
  expect(errors).not.toContain('topsecret');
});

test('a REDIS_URL that answers is used as it is', async () => {
  const server = await pongServer('+PONG\r\n');
  const redis = await provideRedis({ say: () => {}, environment: { REDIS_URL: server.url } });
  expect(redis.url).toBe(server.url);
  await redis.end();
  server.close();
});

test('a Redis that refuses the password is not an answer', async () => {
  const server = await pongServer('-NOAUTH Authentication required.\r\n');
  expect(await ping(server.url)).toContain('NOAUTH');
  await expect(provideRedis({ say: () => {}, environment: { REDIS_URL: server.url } })).rejects.toThrow(Unavailable);
  server.close();
});
