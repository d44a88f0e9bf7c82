/**
 * Goal: what is started is limited, told of truthfully, and ends as a whole; nothing else is touched. Method: real
 * processes; each test's own mark finds what is left of it.
 */
import { spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { chmodSync, existsSync, mkdtempSync, readFileSync, realpathSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { allowedEnv, endMarked, findProgram, listMarked, type RunOptions, run } from '@nexus/shared/process';
import { afterAll, afterEach, describe, expect, onTestFinished, test, vi } from 'vitest';
import { listProcesses } from '../../../test/tools/machine.ts';

const folder = realpathSync(mkdtempSync(join(tmpdir(), 'nexus-process-test-')));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const marks: string[] = [];
const freshMark = (): string => {
  const mark = `test-${randomUUID()}`;
  marks.push(mark);
  return mark;
};
const alive = (mark: string): number[] =>
  listMarked()
    .filter((found) => found.mark === mark)
    .map(({ pid }) => pid);
/** A process that ended but was not yet collected by its parent runs no more. */
const isRunning = (pid: number): boolean =>
  listProcesses().some((one) => one.pid === pid && !one.state.startsWith('Z'));
const listArgs = (part: string): number[] =>
  listProcesses().flatMap(({ pid, args }) => (args.includes(part) ? [pid] : []));
const gone = (mark: string) => vi.waitFor(() => expect(alive(mark)).toEqual([]), { timeout: 10_000, interval: 20 });

afterEach(async () => {
  const left = marks.splice(0).filter((mark) => alive(mark).length > 0);
  for (const mark of left) await endMarked(mark, { graceMs: 0 });
  expect(left, 'the test left processes running').toEqual([]);
});

const start = (command: RunOptions['command'], options: Partial<RunOptions> = {}) =>
  run({ command, folder, timeoutMs: 15_000, outputBytesMax: 1_000_000, ...options });

/** Both ways of starting a command must tell the same. */
const ways = [
  ['directly', () => ({ mark: freshMark() })],
  ['on a leash', () => ({ mark: freshMark(), leashed: true })],
] as const;

describe.each(ways)('a command started %s', (_way, way) => {
  test('reports its exit code, and both streams apart and in the order in which they came', async () => {
    const result = await start('echo out; sleep 0.05; echo err >&2; sleep 0.05; echo more; exit 7', way());
    expect(result).toMatchObject({ exitCode: 7, signal: null, stdout: 'out\nmore\n', stderr: 'err\n' });
    expect(result).toMatchObject({ output: 'out\nerr\nmore\n', timedOut: false, aborted: false, outputLimited: false });
  });

  test.each(['SIGKILL', 'SIGTERM', 'SIGSEGV'])('reports that %s ended it', async (signal) => {
    const result = await start(`kill -${signal.slice(3)} $$`, way());
    expect(result).toMatchObject({ exitCode: null, signal, timedOut: false });
  });

  test('that does not exist throws COMMAND_MISSING with its name', async () => {
    const missing = start(['no-such-program-anywhere'], way());
    await expect(missing).rejects.toMatchObject({
      code: 'COMMAND_MISSING',
      details: { command: 'no-such-program-anywhere' },
    });
  });

  test('that is not executable throws COMMAND_MISSING, and inside a shell is its exit code', async () => {
    const file = join(folder, 'not-executable');
    writeFileSync(file, 'text', { mode: 0o644 });
    await expect(start([file], way())).rejects.toMatchObject({ code: 'COMMAND_MISSING' });
    expect((await start(file, way())).exitCode).toBe(126);
    expect((await start('no-such-program-anywhere', way())).exitCode).toBe(127);
  });

  test('gets all of a large input, or an end of file at once', async () => {
    const input = `${'0123456789'.repeat(500_000)}\n`;
    expect((await start('wc -c', { ...way(), input })).stdout.trim()).toBe(String(input.length));
    expect((await start('cat; echo end', way())).stdout).toBe('end\n');
  });

  test('may leave its input unread', async () => {
    expect(await start(['true'], { ...way(), input: 'x'.repeat(5_000_000) })).toMatchObject({ exitCode: 0 });
  });

  test('is ended after its time with everything that it started, TERM ignored or not', async () => {
    const options = { ...way(), timeoutMs: 500, graceMs: 200 };
    const result = await start('trap "" TERM; setsid sleep 300 & sleep 300 & echo begun; wait; sleep 300', options);
    expect(result).toMatchObject({ timedOut: true, exitCode: null, signal: 'SIGKILL', stdout: 'begun\n' });
    expect(alive(options.mark)).toEqual([]);
  });

  test('is ended when aborted, and may clean up on TERM', async () => {
    const controller = new AbortController();
    const result = await start('trap "echo cleaned; exit 9" TERM; echo begun; while :; do sleep 0.02; done', {
      ...way(),
      signal: controller.signal,
      onOutput: (chunk) => chunk.includes('begun') && controller.abort(),
    });
    expect(result).toMatchObject({ aborted: true, exitCode: 9, stdout: 'begun\ncleaned\n' });
  });

  test('is ended when it says too much; what came before is kept', async () => {
    const result = await start('yes', { ...way(), outputBytesMax: 10_000 });
    expect(result).toMatchObject({ outputLimited: true, timedOut: false });
    expect(result.stdout).toBe('y\n'.repeat(5000));
  });

  test('takes what it left in the background with it', async () => {
    const options = way();
    const result = await start('setsid sleep 300 & nohup sleep 300 >/dev/null 2>&1 & sleep 0.1; echo done', options);
    expect(result).toMatchObject({ exitCode: 0, stdout: 'done\n', leftBehind: 2 });
    expect(alive(options.mark)).toEqual([]);
  });

  test('takes even what is only just starting, by parents that are gone already', async () => {
    for (let round = 0; round < 15; round += 1) {
      const options = way();
      await start('setsid -f setsid -f sleep 300 >/dev/null 2>&1 &', options);
      await new Promise((resolve) => setTimeout(resolve, 10));
      expect(alive(options.mark)).toEqual([]);
    }
  });

  test('leaves other runs of its mark alone', async () => {
    const options = way();
    const other = start('sleep 0.6; echo lived', options);
    expect(await start('true', options)).toMatchObject({ leftBehind: 0 });
    expect((await other).stdout).toBe('lived\n');
  });

  test('passes its output on as it comes, never with half a character', async () => {
    const chunks: string[] = [];
    const command = "printf 'gr\\303'; sleep 0.1; printf '\\274n'; sleep 0.1; printf '!' >&2";
    await start(command, { ...way(), onOutput: (chunk, stream) => chunks.push(`${stream}:${chunk}`) });
    expect(chunks).toEqual(['stdout:gr', 'stdout:ün', 'stderr:!']);
  });

  test('knows nothing secret of ours, and what it is given', async () => {
    const secrets = { REDIS_URL: 'r', REDIS_PASSWORD: 'r', NEXUS_TOKEN: 't', NEXUS_GIT_CREDENTIALS: 'c', API_KEY: 'k' };
    for (const [name, value] of Object.entries({ ...secrets, NODE_OPTIONS: '' })) vi.stubEnv(name, value);
    vi.stubEnv('LC_TIME', 'C');
    const options = way();
    const { stdout } = await start('env', { ...options, env: { HOME: '/elsewhere', GIVEN: 'yes' } });
    vi.unstubAllEnvs();
    const names = stdout.split('\n').map((line) => line.split('=')[0] ?? '');
    expect(names.filter((name) => name in secrets || name === 'NODE_OPTIONS')).toEqual([]);
    expect(stdout).toContain('HOME=/elsewhere\n');
    expect(stdout).toContain('GIVEN=yes\n');
    expect(stdout).toContain('LC_TIME=C\n');
    expect(stdout).toContain(`NEXUS_MARK=${options.mark}\n`);
    expect(stdout).toContain('PATH=');
  });

  test('works in its folder, and says so when there is none', async () => {
    expect((await start('pwd', way())).stdout).toBe(`${folder}\n`);
    await expect(start(['ls'], { ...way(), folder: '/no/such/folder' })).rejects.toThrow(
      /no folder \/no\/such\/folder/,
    );
  });
});

test('a command whose signal was aborted before is never started', async () => {
  const file = join(folder, 'started');
  const result = await start(['touch', file], { signal: AbortSignal.abort() });
  expect(result).toMatchObject({ aborted: true, exitCode: null, signal: null });
  expect(await findProgram('started', { folder })).toBeNull();
});

test('a command whose signal is aborted while its program is looked for is never started', async () => {
  const file = join(folder, 'started-late');
  const stop = new AbortController();
  const running = start(['touch', file], { limits: { processes: 1000 }, mark: freshMark(), signal: stop.signal });
  stop.abort();
  expect(await running).toMatchObject({ aborted: true, exitCode: null, signal: null });
  expect(existsSync(file)).toBe(false);
});

test('an error in the listener ends the command and comes out', async () => {
  const mark = freshMark();
  const onOutput = () => {
    throw new Error('the listener failed');
  };
  await expect(start('echo x; sleep 300', { mark, onOutput })).rejects.toThrow('the listener failed');
});

describe('when the process that runs an agent is killed with kill -9', () => {
  /** A process of its own that runs a command, as a worker does. */
  const worker = async (command: string, mark: string, leashed: boolean, more: object = {}) => {
    const door = JSON.stringify(import.meta.resolve('@nexus/shared/process'));
    const options = { command, folder, mark, leashed, timeoutMs: 60_000, outputBytesMax: 1000, ...more };
    const code = `
      const { run } = await import(${door});
      const options = ${JSON.stringify(options)};
      const ending = new AbortController();
      const onOutput = (chunk) => {
        process.stdout.write(chunk);
        if (options.endsAtOnce) ending.abort();
      };
      await run({ ...options, onOutput, signal: ending.signal });`;
    const child = spawn(process.execPath, ['--input-type=module', '-e', code], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    await once(child.stdout, 'data');
    return child;
  };
  const family =
    'trap "" TERM; setsid sleep 300 & sleep 300 & nohup sh -c "setsid -f sleep 300" & sleep 0.2; echo up; wait';

  test('its leash ends the agent, its children and a grandchild in a session of its own', async () => {
    const mark = freshMark();
    const child = await worker(family, mark, true);
    expect(alive(mark).length).toBeGreaterThanOrEqual(4);
    child.kill('SIGKILL');
    await gone(mark);
  });

  test('while it ends the agent, its leash ends what is left, though the first process has ended', async () => {
    const mark = freshMark();
    const rest = 'sh -c \'trap "" TERM; echo up; while :; do sleep 0.1; done\' & exec sleep 299.75';
    const child = await worker(rest, mark, true, { endsAtOnce: true, graceMs: 60_000 });
    const itself = () => listProcesses().filter(({ state, args }) => state !== 'Z' && args === 'sleep 299.75');
    await vi.waitFor(() => expect(itself()).toEqual([]), { timeout: 10_000, interval: 20 });
    expect(alive(mark)).not.toEqual([]);
    child.kill('SIGKILL');
    await gone(mark);
  });

  test('its leash ends nobody who works in a folder that is not the agent’s own', async () => {
    const mark = freshMark();
    const shared = mkdtempSync(join(folder, 'shared-'));
    const other = spawn('sleep', ['300'], { cwd: shared, env: {}, stdio: 'ignore', detached: true });
    onTestFinished(() => void other.kill('SIGKILL'));
    const child = await worker('echo up; exec sleep 300', mark, true, { folder: shared });
    child.kill('SIGKILL');
    await gone(mark);
    await vi.waitFor(() => expect(listArgs(`leash.mjs ${mark}`)).toEqual([]), { timeout: 10_000, interval: 20 });
    expect(isRunning(other.pid ?? 0)).toBe(true);
  });

  test('while the leash is only starting, nothing starts any more or all of it ends', async () => {
    const mark = freshMark();
    const door = JSON.stringify(import.meta.resolve('@nexus/shared/process'));
    const options = { command: 'sleep 300', folder, mark, leashed: true, timeoutMs: 60_000, outputBytesMax: 1000 };
    const code = `
      const { run } = await import(${door});
      void run(${JSON.stringify(options)});
      process.kill(process.pid, 'SIGKILL');`;
    const child = spawn(process.execPath, ['--input-type=module', '-e', code], { stdio: 'ignore' });
    await once(child, 'exit');
    // Until the leash has ended it may still start what it then ends.
    await vi.waitFor(() => expect(listArgs(`leash.mjs ${mark}`)).toEqual([]), { timeout: 10_000, interval: 20 });
    expect(alive(mark)).toEqual([]);
  });

  test('without a leash they live on, and endMarked finds all of them', async () => {
    const mark = freshMark();
    const child = await worker(family, mark, false);
    child.kill('SIGKILL');
    await once(child, 'exit');
    expect(alive(mark).length).toBeGreaterThanOrEqual(4);
    expect(await endMarked(mark, { graceMs: 100 })).toEqual([]);
    expect(alive(mark)).toEqual([]);
  });

  test('a killed leash is reported as the end of the agent, which ends too', async () => {
    const mark = freshMark();
    const result = await start('echo $PPID; sleep 300', {
      mark,
      leashed: true,
      onOutput: (chunk) => process.kill(Number(chunk), 'SIGKILL'),
    });
    expect(result).toMatchObject({ exitCode: null, signal: 'SIGKILL' });
    expect(alive(mark)).toEqual([]);
  });
});

describe('ending by mark', () => {
  test('touches nothing that bears another mark, even one that begins the same', async () => {
    const mark = freshMark();
    const other = `${mark}-2`;
    marks.push(other);
    const controller = new AbortController();
    const runs = [mark, other].map((each) => start(['sleep', '300'], { mark: each, signal: controller.signal }));
    await vi.waitFor(() => expect([alive(mark), alive(other)].map((pids) => pids.length)).toEqual([1, 1]));
    expect(await endMarked(mark)).toEqual([]);
    expect(await runs[0]).toMatchObject({ signal: 'SIGTERM', aborted: false });
    expect(alive(other)).toHaveLength(1);
    controller.abort();
    expect(await runs[1]).toMatchObject({ aborted: true });
  });

  test('finds children that have another environment', async () => {
    const mark = freshMark();
    const running = start('env -i sleep 299.5 & echo $!; wait', { mark, onOutput: () => void endMarked(mark) });
    const pid = Number((await running).stdout);
    expect(pid).toBeGreaterThan(1);
    await vi.waitFor(() => expect(isRunning(pid)).toBe(false));
  });

  test('finds in its own folder what has emptied its environment, left its session and lost its parent', async () => {
    const mark = freshMark();
    const own = mkdtempSync(join(folder, 'own-'));
    const hide = (command: string) => `env -i setsid -f /bin/sh -c '${command}'`;
    const inside = hide('trap "" TERM; echo $$ > pid; /bin/sleep 298; /bin/sleep 298');
    const outside = hide('cd /; exec /bin/sleep 297.5');
    await start(`${inside}; ${outside}; while [ ! -s pid ]; do sleep 0.02; done`, { mark, folder: own });
    const pid = Number(readFileSync(join(own, 'pid'), 'utf8'));
    expect(isRunning(pid)).toBe(true);
    expect(await endMarked(mark, { graceMs: 100 })).toEqual([]);
    expect(isRunning(pid)).toBe(true);
    // What we run there ourselves, git for example, is left alone.
    const ours = start('sleep 1; echo lived', { folder: own });
    await endMarked(mark, { graceMs: 100, folder: own });
    expect(isRunning(pid)).toBe(false);
    expect((await ours).stdout).toBe('lived\n');
    // Said openly in the door: one that leaves the folder, too, cannot be told from anybody's.
    const escaped = Number(listArgs('sleep 297.5')[0]);
    expect(isRunning(escaped)).toBe(true);
    process.kill(escaped, 'SIGKILL');
  });

  test('never ends the one who asks, whatever its mark', async () => {
    const mark = freshMark();
    const door = JSON.stringify(import.meta.resolve('@nexus/shared/process'));
    const code = `
      const { endMarked } = await import(${door});
      console.log(await endMarked('${mark}', { graceMs: 50 }));`;
    const result = await start([process.execPath, '--input-type=module', '-e', code], { mark });
    expect(result).toMatchObject({ exitCode: 0, stdout: '[]\n' });
  });
});

test('a program is found by path and folder as it would be started', async () => {
  const file = join(folder, 'tool');
  writeFileSync(file, '#!/bin/sh\n');
  expect(await findProgram('./tool', { folder })).toBeNull();
  chmodSync(file, 0o755);
  expect(await findProgram('./tool', { folder })).toBe(file);
  expect(await findProgram('tool', { env: { PATH: `/none:${folder}` } })).toBe(file);
  expect(await findProgram('sh')).toMatch(/\/sh$/);
  expect(await findProgram('no-such-program-anywhere')).toBeNull();
  expect(allowedEnv({ PATH: 'mine' }).PATH).toBe('mine');
});
