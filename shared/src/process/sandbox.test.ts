import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, expect, test } from 'vitest';
import { leaveOut } from '../../../test/tools/machine.ts';
import { listMarked, probeSandbox, type RunOptions, run } from './process.ts';
import { whyNoSandbox } from './sandbox.ts';

const root = mkdtempSync(join(tmpdir(), 'nexus-sandbox-'));
afterAll(() => rmSync(root, { recursive: true, force: true }));

const { usable, says: whatSandbox } = await probeSandbox();
leaveOut('the sandbox', usable ? null : whatSandbox);
let count = 0;

/** A folder to work in, beside one that is nobody's business. */
const open = (sandbox: Partial<RunOptions['sandbox']> = {}) => {
  count += 1;
  const [folder, beside] = [join(root, `work-${count}`), join(root, `beside-${count}`)];
  for (const path of [folder, beside]) mkdirSync(path);
  const mark = `sandbox-${process.pid}-${count}`;
  const start = (command: string, more: Partial<RunOptions> = {}) =>
    run({
      ...{ command, folder, mark, leashed: true, timeoutMs: 20_000, outputBytesMax: 1_000_000 },
      sandbox: { writable: [], hidden: [], network: false, ...sandbox },
      ...more,
    });
  return { folder, beside, mark, start };
};
const marked = (mark: string) => listMarked().filter((found) => found.mark === mark);

test('what bubblewrap says where it cannot work becomes one thing to do', () => {
  expect(whyNoSandbox('bwrap: setting up uid map: Permission denied')).toMatchObject({
    says: expect.stringContaining('Permission denied'),
    mend: expect.stringMatching(/user namespaces|seccomp/),
  });
  expect(whyNoSandbox("env: unrecognized option '--default-signal'").mend).toContain('coreutils');
});

test.runIf(usable)('a program in the sandbox writes to its folder and its /tmp, and nowhere else', async () => {
  const { folder, beside, start } = open();
  const places = ['/etc', '/usr', '/var/log', process.env.HOME ?? '/root', beside, '/run', '/sys'];
  const tries = places.map((place) => `touch ${place}/x-${process.pid} 2>/dev/null && echo ${place}`).join('; ');
  const result = await start(`touch here /tmp/there /var/tmp/too && ls /tmp; ${tries}; true`);
  expect(result).toMatchObject({ exitCode: 0, signal: null });
  expect(result.stdout.split('\n').filter((line) => places.includes(line))).toEqual([]);
  expect(readdirSync(folder)).toEqual(['here']);
  expect(existsSync('/tmp/there')).toBe(false);
  expect(readdirSync(beside)).toEqual([]);
  // Its /tmp is gone with it.
  expect(readdirSync(root).filter((name) => name.includes('.tmp-'))).toEqual([]);
});

test.runIf(usable)('a link that leads out of the folder leads to what cannot be written', async () => {
  const { folder, beside, start } = open();
  writeFileSync(join(beside, 'theirs.txt'), 'theirs');
  const { exitCode } = await start(`ln -s ${beside}/theirs.txt link && echo mine > link`);
  expect(exitCode).not.toBe(0);
  expect(readFileSync(join(beside, 'theirs.txt'), 'utf8')).toBe('theirs');
  expect(existsSync(join(folder, 'theirs.txt'))).toBe(false);
});

test.runIf(usable)('a folder that is to be hidden and to be written is written', async () => {
  const both = join(root, 'both');
  mkdirSync(both);
  const { start } = open({ hidden: [both], writable: [both] });
  expect(await start(`echo a > ${both}/a`)).toMatchObject({ exitCode: 0 });
  expect(readFileSync(join(both, 'a'), 'utf8')).toBe('a\n');
});

test.runIf(usable)('what is hidden is not seen, what is named is written, also inside of what is hidden', async () => {
  const secret = join(root, 'secret');
  mkdirSync(join(secret, 'mine'), { recursive: true });
  writeFileSync(join(secret, 'key'), 'the key');
  writeFileSync(join(root, 'one.key'), 'the key');
  const { start } = open({
    hidden: [secret, join(root, 'one.key'), join(root, 'nothing')],
    writable: [join(secret, 'mine')],
  });
  const result = await start(
    `cat ${secret}/key ${root}/one.key; ls ${secret}; echo a > ${secret}/mine/a; echo b > ${secret}/b`,
  );
  expect(result.output).not.toContain('the key');
  expect(result.stdout).toBe('mine\n');
  expect(readFileSync(join(secret, 'mine', 'a'), 'utf8')).toBe('a\n');
  expect(existsSync(join(secret, 'b'))).toBe(false);
});

test.runIf(usable)('it sees no other process, so it can neither read an environment nor signal anybody', async () => {
  const { start } = open();
  const result = await start(`cat /proc/[0-9]*/cmdline | tr '\\0' ' '; kill -0 ${process.pid}`);
  expect(result.exitCode).not.toBe(0);
  expect(result.stdout).not.toContain('vitest');
  expect(result.stdout).toContain('cat /proc');
});

test.runIf(usable)('without the network it reaches nobody; with it, it does', async () => {
  const server = createServer((_, response) => response.end('reached'));
  server.listen(0, '127.0.0.1');
  await new Promise((resolve) => server.once('listening', resolve));
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const code = `fetch('${url}').then((r) => r.text()).then(console.log, () => process.exit(9))`;
  const ask = `'${process.execPath}' -e "${code}"`;
  try {
    expect(await open({ network: false }).start(ask)).toMatchObject({ exitCode: 9 });
    expect(await open({ network: true }).start(ask)).toMatchObject({ exitCode: 0, stdout: 'reached\n' });
  } finally {
    server.close();
  }
});

test.runIf(usable)(
  'without the network one port of its own leads to one socket of ours, and nothing else',
  async () => {
    const socket = join(root, 'way-out');
    const server = createServer((request, response) => response.end(`reached ${request.url}`));
    server.listen(socket);
    await new Promise((resolve) => server.once('listening', resolve));
    const { start, mark } = open({ network: false, relay: { port: 4711, socket } });
    const ask = (port: number) =>
      `fetch('http://127.0.0.1:${port}/here').then((r) => r.text()).then(console.log, console.log)`;
    try {
      const result = await start(
        `'${process.execPath}' -e "${ask(4711)}"; '${process.execPath}' -e "${ask(4712)}"; exit 5`,
      );
      expect(result).toMatchObject({ exitCode: 5, leftBehind: 0 });
      expect(result.stdout).toMatch(/^reached \/here\n.*fetch failed/s);
      const abort = new AbortController();
      const ended = await start('trap "exit 3" TERM; echo up; while true; do sleep 0.05; done', {
        ...{ signal: abort.signal, onOutput: () => abort.abort() },
      });
      expect(ended).toMatchObject({ aborted: true, exitCode: 3 });
      expect(marked(mark)).toEqual([]);
    } finally {
      server.close();
    }
  },
);

test.runIf(usable)('exit codes, input and output pass through', async () => {
  const { start } = open();
  expect(await start('cat; echo wrong >&2; exit 7', { input: 'Grüße' })).toMatchObject({
    ...{ exitCode: 7, stdout: 'Grüße', stderr: 'wrong\n', leftBehind: 0 },
  });
  await expect(start('', { command: ['no-such-program-here'] })).rejects.toMatchObject({ code: 'COMMAND_MISSING' });
});

test.runIf(usable)('a program that is aborted gets TERM, and time to end well', async () => {
  const { folder, mark, start } = open();
  const abort = new AbortController();
  const result = await start(
    'trap "echo ended well > end.txt; exit 3" TERM; echo hanging; while true; do sleep 0.05; done',
    {
      signal: abort.signal,
      onOutput: () => abort.abort(),
    },
  );
  expect(result).toMatchObject({ aborted: true, exitCode: 3 });
  expect(readFileSync(join(folder, 'end.txt'), 'utf8')).toBe('ended well\n');
  expect(marked(mark)).toEqual([]);
});

test.runIf(usable)('one that ignores TERM is killed, with what hid in a session of its own', async () => {
  const { mark, start } = open();
  const abort = new AbortController();
  const began = performance.now();
  const result = await start(
    `trap '' TERM; (setsid sh -c "trap '' TERM; sleep 300; sleep 300" &) ; echo hanging; sleep 300; sleep 300`,
    {
      signal: abort.signal,
      graceMs: 300,
      onOutput: () => abort.abort(),
    },
  );
  expect(result.aborted).toBe(true);
  expect(performance.now() - began).toBeLessThan(5000);
  expect(marked(mark)).toEqual([]);
});

test.runIf(usable)('what it leaves running is ended and counted', async () => {
  const { mark, start } = open();
  const result = await start('setsid sleep 300 > /dev/null 2>&1 & sleep 0.1');
  expect(result.exitCode).toBe(0);
  expect(result.leftBehind).toBeGreaterThan(0);
  expect(marked(mark)).toEqual([]);
});

test.runIf(usable)('the leash ends it when we are killed', async () => {
  const { folder, mark } = open();
  const code = `import { run } from '${import.meta.dirname}/process.ts';
    await run({ command: 'setsid sleep 300 & sleep 300', folder: '${folder}', mark: '${mark}', leashed: true,
      sandbox: { writable: [], hidden: [], network: true }, timeoutMs: 60000, outputBytesMax: 1000 });`;
  const parent = run({
    ...{ command: [process.execPath, '--input-type=module-typescript', '-e', code], timeoutMs: 60_000 },
    ...{ folder: fileURLToPath(new URL('../../..', import.meta.url)), outputBytesMax: 10_000, mark: `${mark}-parent` },
  } as RunOptions);
  const both = () => marked(mark).length >= 3;
  while (!both()) await new Promise((resolve) => setTimeout(resolve, 20));
  const [child] = marked(`${mark}-parent`);
  process.kill(child?.pid ?? 0, 'SIGKILL');
  await parent;
  while (marked(mark).length > 0) await new Promise((resolve) => setTimeout(resolve, 20));
});
