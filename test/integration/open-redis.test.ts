/** A Redis that asks nobody for a password is there for whatever agents run: who is told of it, and what closes it. */
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { whyOpen } from '@nexus/shared/bus';
import { findProgram, freePort, probeSandbox, run } from '@nexus/shared/process';
import { expect, onTestFinished, test } from 'vitest';
import { endProcesses } from '../../services/cli/fleet.ts';
import { startRedis as startOwn } from '../../services/cli/own-redis.ts';
import { openHome, runNexus } from '../tools/cli.ts';
import { leaveOut } from '../tools/machine.ts';
import { startRedis } from '../tools/redis.ts';

const { usable, says: whatSandbox } = await probeSandbox();
leaveOut('the sandbox', usable ? null : whatSandbox);

const compose = readFileSync(join(import.meta.dirname, '../../docker-compose.yml'), 'utf8');
const published = /REDIS_PASSWORD: \$\{REDIS_PASSWORD:-(\w+)\}/.exec(compose)?.[1] ?? '';

test('a Redis is open without a password, whatever is sent to it, and with the one that we publish', async () => {
  const bare = await startRedis();
  expect(await whyOpen({ url: bare.url })).toContain('asks nobody');
  expect(await whyOpen({ url: bare.url.replace('//', '//:hush@'), password: 'hush' })).toContain('asks nobody');
  const known = await startRedis({ extra: ['--requirepass', published] });
  expect(await whyOpen({ url: known.url, password: published })).toContain('docker-compose.yml');
  const closed = await startRedis({ extra: ['--requirepass', 'hush'] });
  expect(await whyOpen({ url: closed.url, password: 'hush' })).toBeNull();
  expect(await whyOpen({ url: closed.url.replace('//', '//:hush@') })).toBeNull();
});

test('`nexus doctor` warns of a Redis that agents can command, and says what closes it', async () => {
  const nobody = 'http://127.0.0.1:1';
  const examine = async (env: Record<string, string>) => {
    const { out } = await runNexus(openHome(), ['doctor', '--json'], nobody, { env });
    return JSON.parse(out).findings.find(({ name }: { name: string }) => name === 'redis password');
  };
  const bare = await startRedis();
  const open = await examine({ REDIS_URL: bare.url });
  expect(open).toMatchObject({ state: 'warn', mend: expect.stringContaining('REDIS_PASSWORD_FILE') });
  expect(open.says).toMatch(/asks nobody for a password: what agents, .* run can .* command the fleet/);
  const closed = await startRedis({ extra: ['--requirepass', 'hush'] });
  expect(await examine({ REDIS_URL: closed.url, REDIS_PASSWORD: 'hush' })).toMatchObject({ state: 'ok' });
});

test.runIf(usable)('a Redis of `nexus up` wants the password that is set, and no agent finds it', async () => {
  const [home, port] = [openHome(), await freePort()];
  const server = (await findProgram('redis-server')) ?? '';
  const password = 'hush "of" \\ours';
  const own = await startOwn({ server, home, password, port });
  onTestFinished(async () => void (await endProcesses([own], 10_000)));
  const url = `redis://127.0.0.1:${port}`;
  expect(await whyOpen({ url, password })).toBeNull();
  expect(readFileSync(`/proc/${own.pid}/cmdline`, 'utf8')).not.toContain('hush');
  expect(await say(port, `AUTH "hush \\"of\\" \\\\ours"\r\nPING\r\n`)).toContain('+PONG');
  // Its shell has the network, and gets no further than that.
  const asks = `exec 3<>/dev/tcp/127.0.0.1/${port}; printf 'KEYS *\\r\\nQUIT\\r\\n' >&3; cat <&3`;
  const script = `${asks}; env; cat /proc/*/environ`;
  const { output } = await run({
    command: ['bash', '-c', script],
    folder: openHome(),
    sandbox: { writable: [], hidden: [home], network: true },
    timeoutMs: 20_000,
    outputBytesMax: 100_000,
  });
  expect(output).toContain('NOAUTH');
  expect(output).not.toContain('hush');
});

/** What a server answers to these words. */
const say = async (port: number, words: string): Promise<string> => {
  const socket = connect(port, '127.0.0.1').setEncoding('utf8');
  let said = '';
  socket.on('data', (chunk: string) => {
    said += chunk;
  });
  socket.end(words);
  await once(socket, 'close');
  return said;
};
