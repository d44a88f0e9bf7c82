/**
 * Finds or starts the Redis that a command of this project needs. Plain JavaScript: it runs before
 * the project's own Node and packages are there.
 *
 *   const redis = await provideRedis({ say });
 *   redis.url … await redis.end();
 *
 * In this order: `REDIS_URL` if it is set (it must answer) · `redis-server` or `valkey-server` on the
 * path · Docker · the package manager, when we are root and nobody sits at a terminal, or after a yes.
 * Else it throws `Unavailable`, whose message is the one line to type.
 *
 * A server that was started here listens on a free loopback port, keeps its data in a scratch folder,
 * and ends with the command, even if that is killed: it holds the other end of a pipe (`leash`).
 */
import { spawn, spawnSync } from 'node:child_process';
import { accessSync, constants, mkdtempSync, rmSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { createInterface } from 'node:readline/promises';
import { connect as connectTls } from 'node:tls';

/** What is missing cannot be put right here; the message says what a person can type. Exit code 69. */
export class Unavailable extends Error {
  exitCode = 69;
}

/**
 * Gives the address of a Redis that answers, and how to end it. `folder` keeps the data of a server
 * that is started here; without it they are thrown away.
 *
 * @param {{ say: (line: string) => void, folder?: string, environment?: Record<string, string | undefined> }} options
 * @returns {Promise<{ url: string, how: string, pid?: number, end: () => Promise<void> }>}
 */
export const provideRedis = async ({ say, folder, environment = process.env }) => {
  if (environment.REDIS_URL) {
    await demandAnswer(environment.REDIS_URL, environment.REDIS_PASSWORD);
    return { url: environment.REDIS_URL, how: 'REDIS_URL', end: async () => {} };
  }
  const server = serverOnPath();
  if (server) return startServer(server, folder);
  if (dockerAnswers()) return startContainer(say);
  await installServer(say);
  const installed = serverOnPath();
  if (!installed) throw new Unavailable(`no redis-server was found after the installation. ${lineToType()}`);
  return startServer(installed, folder);
};

/**
 * The full path of a program, or undefined.
 *
 * @param {string} program
 */
export const onPath = (program) =>
  `${process.env.PATH ?? ''}${delimiter}/usr/local/sbin${delimiter}/usr/sbin${delimiter}/sbin`
    .split(delimiter)
    .map((directory) => join(directory, program))
    .find((path) => {
      try {
        accessSync(path, constants.X_OK);
        return true;
      } catch {
        return false;
      }
    });

/**
 * Asks a Redis for a PONG; resolves to undefined if it gave one, else to what went wrong.
 *
 * @param {string} url
 * @param {string} [password] used where the address holds none
 * @param {number} [timeoutMs]
 * @returns {Promise<string | undefined>}
 */
export const ping = (url, password, timeoutMs = 3000) =>
  new Promise((resolve) => {
    let at;
    try {
      at = new URL(url);
    } catch {
      resolve('it is not an address; expected redis://host:port or rediss://host:port');
      return;
    }
    const secret = decodeURIComponent(at.password) || password;
    const open = at.protocol === 'rediss:' ? connectTls : connect;
    const socket = open({ host: at.hostname.replace(/^\[|\]$/g, ''), port: Number(at.port || 6379) });
    const finish = (problem) => {
      socket.destroy();
      resolve(problem);
    };
    let reply = '';
    socket.setTimeout(timeoutMs, () => finish(`no answer within ${timeoutMs} ms`));
    socket.on('error', (error) => finish(error.message || error.code));
    socket.on('close', () => finish('it closed the connection'));
    socket.on('data', (chunk) => {
      reply += chunk;
      if (reply.includes('+PONG')) finish(undefined);
      else if (/^-.*\r\n/m.test(reply)) finish(/^-(.*)\r\n/m.exec(reply)[1]);
    });
    const user = decodeURIComponent(at.username);
    if (secret) socket.write(command('AUTH', ...(user ? [user] : []), secret));
    socket.write(command('PING'));
  });

/** A command in the protocol of Redis (https://redis.io/docs/latest/develop/reference/protocol-spec/). */
const command = (...words) =>
  `*${words.length}\r\n${words.map((word) => `$${Buffer.byteLength(word)}\r\n${word}\r\n`).join('')}`;

const demandAnswer = async (url, password) => {
  const problem = await ping(url, password);
  if (!problem) return;
  const shown = url.replace(/\/\/[^@/]*@/, '//…@');
  throw new Unavailable(
    `REDIS_URL is ${shown}, but there: ${problem}. Start it, or unset REDIS_URL to use one of ours.`,
  );
};

const serverOnPath = () => onPath('redis-server') ?? onPath('valkey-server');

/** Durable enough to crash (everysec), never forgetful (noeviction), seen by this machine alone. */
const settings = ['--appendonly', 'yes', '--appendfsync', 'everysec', '--save', '', '--maxmemory-policy', 'noeviction'];

/**
 * Becomes the server ($0 and the rest), and leaves a reader of our pipe behind: when that ends without
 * a word, whoever started the server is gone, so the server goes too, and with it its scratch folder.
 */
const leash = `
exec 3<&0
(
  read -r word <&3 && exit
  kill "$$"
  for turn in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
    kill -0 "$$" || break
    sleep 0.1
  done
  if [ -n "$NEXUS_SCRATCH" ]; then rm -rf "$NEXUS_SCRATCH"; fi
) >/dev/null 2>&1 &
exec "$0" "$@" 3<&- </dev/null
`;

const startServer = async (server, folder) => {
  const scratch = folder ? undefined : mkdtempSync(join(tmpdir(), 'nexus-redis-'));
  const data = ['--dir', folder ?? scratch, ...settings, '--bind', '127.0.0.1'];
  for (let turn = 1; ; turn += 1) {
    const port = await freePort();
    // Detached: Ctrl-C on a terminal must reach the services first; we end the server after them.
    const child = spawn('sh', ['-c', leash, server, '--port', String(port), ...data], {
      stdio: ['pipe', 'pipe', 'inherit'],
      detached: true,
      env: { ...process.env, NEXUS_SCRATCH: scratch ?? '' },
    });
    const ended = watch(child);
    const url = `redis://127.0.0.1:${port}`;
    if (await answersSoon(url, ended)) {
      const end = async () => {
        if (!ended.yes) child.kill('SIGTERM');
        await ended.promise;
        if (scratch) rmSync(scratch, { recursive: true, force: true });
      };
      return { url, how: server, pid: child.pid, end };
    }
    child.kill('SIGKILL');
    if (turn === 3) throw new Unavailable(`${server} does not start:\n${ended.output.slice(-2000)}`);
  }
};

const startContainer = async (say) => {
  const name = `nexus-redis-${process.pid}-${Date.now().toString(36)}`;
  const image = 'redis:8';
  if (spawnSync('docker', ['image', 'inspect', image], { stdio: 'ignore' }).status !== 0) say(`fetching ${image}`);
  const flags = ['run', '--rm', '-i', '--name', name, '--label', 'nexus.scratch=redis', '-p', '127.0.0.1::6379'];
  const inside = ['sh', '-c', leash, 'docker-entrypoint.sh', 'redis-server', '--dir', '/data', ...settings];
  const child = spawn('docker', [...flags, image, ...inside], { stdio: ['pipe', 'pipe', 'pipe'], detached: true });
  const ended = watch(child);
  const url = await publishedUrl(name, ended);
  if (!url || !(await answersSoon(url, ended))) {
    spawnSync('docker', ['rm', '-f', '-v', name], { stdio: 'ignore' });
    throw new Unavailable(`Docker cannot start ${image}:\n${ended.output.slice(-2000)}\n${lineToType()}`);
  }
  const end = async () => {
    spawnSync('docker', ['stop', '--time', '5', name], { stdio: 'ignore' });
    await ended.promise;
  };
  return { url, how: `docker ${image}`, end };
};

/** Where Docker published the container's port; the image may have to come over the network first. */
const publishedUrl = async (name, ended) => {
  const until = Date.now() + 300_000;
  while (!ended.yes && Date.now() < until) {
    const { stdout } = spawnSync('docker', ['port', name, '6379/tcp'], { encoding: 'utf8' });
    const port = /:(\d+)\s*$/m.exec(stdout ?? '')?.[1];
    if (port) return `redis://127.0.0.1:${port}`;
    await pause(200);
  }
  return undefined;
};

/** Keeps a child's last words and its end; a server that ended by itself says so to its leash. */
const watch = (child) => {
  const ended = { yes: false, output: '', promise: undefined };
  for (const stream of [child.stdout, child.stderr]) {
    stream?.on('data', (chunk) => {
      ended.output = (ended.output + chunk).slice(-8000);
    });
  }
  child.stdin.on('error', () => {});
  ended.promise = new Promise((resolve) => {
    const finish = (problem) => {
      if (problem instanceof Error) ended.output += problem.message;
      ended.yes = true;
      child.stdin.end('ended\n');
      resolve();
    };
    child.on('exit', finish);
    child.on('error', finish);
  });
  return ended;
};

const answersSoon = async (url, ended) => {
  for (const until = Date.now() + 10_000; !ended.yes && Date.now() < until; await pause(25)) {
    if ((await ping(url, undefined, 1000)) === undefined) return true;
  }
  return false;
};

const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

const freePort = () =>
  new Promise((resolve, reject) => {
    const probe = createServer();
    probe.on('error', reject);
    probe.listen(0, '127.0.0.1', () => {
      const { port } = probe.address();
      probe.close(() => resolve(port));
    });
  });

const dockerAnswers = () =>
  onPath('docker') !== undefined && spawnSync('docker', ['info'], { stdio: 'ignore', timeout: 10_000 }).status === 0;

/** How each package manager installs a Redis; the first that is there is used. */
const managers = [
  ['apt-get', 'apt-get update -qq && apt-get install -y -qq --no-install-recommends redis-server'],
  ['apk', 'apk add --no-cache redis'],
  ['dnf', 'dnf install -y redis || dnf install -y valkey'],
  ['pacman', 'pacman -Sy --noconfirm valkey'],
  ['brew', 'brew install redis'],
];

const manager = () => managers.find(([program]) => onPath(program));
const needsSudo = (program) => program !== 'brew' && process.getuid?.() !== 0;

const lineToType = () => {
  const found = manager();
  if (!found) return 'Install Redis 7 or newer (https://redis.io/downloads), or set REDIS_URL to one that runs.';
  const [program, line] = found;
  return `Type: ${needsSudo(program) ? `sudo sh -c '${line}'` : line}`;
};

const installServer = async (say) => {
  const found = manager();
  const terminal = Boolean(process.stdin.isTTY && process.stderr.isTTY);
  const root = process.getuid?.() === 0;
  if (!found || (!terminal && !root)) throw new Unavailable(`there is no Redis on this machine. ${lineToType()}`);
  const [program, line] = found;
  const words = needsSudo(program) ? ['sudo', 'sh', '-c', line] : ['sh', '-c', line];
  if (terminal && !(await agreed(`There is no Redis on this machine. Run this? ${words.at(-1)} [y/N] `))) {
    throw new Unavailable(`there is no Redis on this machine. ${lineToType()}`);
  }
  say(`installing Redis with ${program}`);
  // RUNLEVEL=1 keeps Debian from starting a server of its own on the usual port.
  const quiet = { ...process.env, DEBIAN_FRONTEND: 'noninteractive', RUNLEVEL: '1' };
  const stdio = ['inherit', 'pipe', 'pipe'];
  const { status, stdout, stderr } = spawnSync(words[0], words.slice(1), { stdio, env: quiet, encoding: 'utf8' });
  if (status === 0) return;
  const last = `${stdout ?? ''}${stderr ?? ''}`.slice(-2000);
  throw new Unavailable(`${program} could not install Redis (exit ${status}):\n${last}\n${lineToType()}`);
};

const agreed = async (question) => {
  const terminal = createInterface({ input: process.stdin, output: process.stderr });
  try {
    return /^y(es)?$/i.test((await terminal.question(question)).trim());
  } finally {
    terminal.close();
  }
};
