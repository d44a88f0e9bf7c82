/**
 * `npm run demo`: the whole fleet at work on a machine that has nothing but Node, npm and git.
 *
 *   npm run demo                   live progress, then what was built and how to start it
 *   npm run demo -- --json         one line of JSON on standard output at the end; progress on standard error
 *   npm run demo -- --keep         the fleet stays up afterwards, until Ctrl-C
 *   npm run demo -- --port 8080    the gateway's port; left out, a free one
 *   npm run demo -- --workers 3    how many workers; left out, 2
 *   npm run demo -- --scenario F   another scenario that builds the same; left out, the one in scripts/rehearsal
 *
 * Every service runs as a process of its own, on a fabric of its own; only the agents' minds are scripted
 * (scripts/rehearsal). The result is then proven from outside: cloned, tested, started, used. Exit code 0
 * only if the task was completed and the proof holds; 78 for a wrong setting; 130 after Ctrl-C. Everything that was
 * started is ended. What was built lies in a folder of its own in NEXUS_HOME, which it names.
 */
import { randomBytes } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { eraseFabric } from '@nexus/shared/bus';
import { type Client, openClient, type TaskDetail } from '@nexus/shared/client';
import { demandApart, makeshiftWarning } from '@nexus/shared/config';
import { readConfig } from '../services/cli/config.ts';
import { builtLines, endLines, localPath, summaryOf } from '../services/cli/end-state.ts';
import { exitCodes, toFailure } from '../services/cli/exit-codes.ts';
import { failureLog } from '../services/cli/failure-log.ts';
import { type Fleet, howEnded, launchFleet, waitForWorkers } from '../services/cli/fleet.ts';
import { followTask } from '../services/cli/follow.ts';
import { duration, painter } from '../services/cli/output.ts';
import { openProgress, type Progress } from '../services/cli/show-progress.ts';
import { readOptions } from './options.ts';
import { verifyShortener } from './rehearsal/verify.ts';

const root = join(import.meta.dirname, '..');
const request = `Build snip, a small URL shortener in plain Node without dependencies: links kept in one file
that survives a crash, an HTTP API, a web page, visit statistics, a rate limit, tests, a Dockerfile, a README.`;

const { values: options } = readOptions(import.meta.filename, {
  options: {
    json: { type: 'boolean', default: false },
    keep: { type: 'boolean', default: false },
    port: { type: 'string', default: '0' },
    workers: { type: 'string', default: '2' },
    scenario: { type: 'string', default: join(root, 'scripts/rehearsal/url-shortener.yaml') },
  },
});

const began = performance.now();
const out = options.json ? process.stderr : process.stdout;
const redraw = out.isTTY === true && process.env.TERM !== 'dumb';
const colour = redraw && !process.env.NO_COLOR;
const paint = painter(colour);
const say = (...lines: string[]) => {
  for (const line of lines) out.write(`${line}\n`);
};

const main = async (signal: AbortSignal): Promise<number> => {
  const name = `demo-${randomBytes(3).toString('hex')}`;
  const homes = readConfig().home;
  demandApart(homes);
  const home = join(homes, name);
  const warning = makeshiftWarning(home);
  if (warning) say(warning);
  tidyUp(homes, 3);
  const token = randomBytes(24).toString('base64url');
  const fleet = await startFleet(name, home, token, signal);
  try {
    const client = openClient({ url: fleet.state.url, token });
    await waitForWorkers(client);
    const task = await rehearse(client, fleet, signal);
    await tellEnd(client, task, home);
    const proven = await prove(task, signal);
    if (options.json) process.stdout.write(`${JSON.stringify(summaryOf(task, performance.now() - began))}\n`);
    if (options.keep) await stay(fleet, token, signal);
    return task.status === 'completed' && proven ? 0 : 1;
  } finally {
    await end(fleet, name);
  }
};

// --- the fleet ---------------------------------------------------------------------------------

const startFleet = async (name: string, home: string, token: string, signal: AbortSignal): Promise<Fleet> => {
  const fleet = await launchFleet({
    home,
    prefix: `{${name}}`,
    workers: Number(options.workers),
    port: Number(options.port),
    attached: true,
    environment: {
      NEXUS_REHEARSAL: 'on',
      // Its agents play what is written, and nobody waits to be asked: what fails to its end fails the demo.
      NEXUS_OTHER_AGENTS_MAX: '0',
      NEXUS_PLANS_MAX: '0',
      NEXUS_PERSON_TIMEOUT: '1s',
      NEXUS_CONTROL_CHANNEL: `control-${name}`,
      NEXUS_TOKEN: token,
    },
    signal,
  });
  const services = fleet.state.processes.length;
  say(`${services} processes are up after ${sinceBegin()}; logs in ${home}/logs`, '');
  return fleet;
};

/** Ends every process by its number, then takes away what the fabric has left in Redis. */
const end = async (fleet: Fleet, name: string): Promise<void> => {
  const killed = await fleet.stop();
  if (killed.length > 0) say(`Killed, because they did not drain: ${killed.join(', ')}`);
  const redisUrl = process.env.REDIS_URL;
  if (redisUrl) await eraseFabric({ url: redisUrl, password: process.env.REDIS_PASSWORD }, `{${name}}`);
};

/** Homes of earlier demos hold their results; only the newest few are kept. Nothing else that lies beside them goes. */
const tidyUp = (homes: string, kept: number): void => {
  mkdirSync(homes, { recursive: true });
  const old = readdirSync(homes, { withFileTypes: true })
    .filter((entry) => entry.isDirectory() && /^demo-[0-9a-f]{6}$/.test(entry.name))
    .filter(({ name }) => existsSync(join(homes, name, 'logs')))
    .map(({ name }) => ({ name, at: statSync(join(homes, name)).mtimeMs }))
    .sort((a, b) => b.at - a.at);
  for (const { name } of old.slice(kept - 1)) rmSync(join(homes, name), { recursive: true, force: true });
};

// --- the rehearsal -----------------------------------------------------------------------------

const rehearse = async (client: Client, fleet: Fleet, signal: AbortSignal): Promise<TaskDetail> => {
  const scenario = readFileSync(options.scenario, 'utf8');
  const { task_id } = await client.submit({ request, workflow: 'feature', scenario }, { signal });
  const progress: Progress = openProgress({ sink: out, colour, redraw });
  fleet.onDeath((ended) => progress.say(`${ended.name} ended ${howEnded(ended)}; its log: ${ended.log}`));
  try {
    return await followTask({
      client,
      taskId: task_id,
      signal,
      onView: progress.show,
      onTrouble: (problem) => progress.say(problem ?? 'The gateway answers again.'),
    });
  } finally {
    progress.close();
  }
};

/** Says how it ended. The fleet ends with the demo, so what one would ask it for afterwards is kept as a file. */
const tellEnd = async (client: Client, task: TaskDetail, home: string): Promise<void> => {
  const file = join(home, 'report.md');
  const report = await client.reportText(task.task_id).catch(() => null);
  if (report !== null) writeFileSync(file, report);
  const lasting = { ...task, report_url: null };
  say(...builtLines(task, out.columns ?? 160), '', ...endLines(lasting, paint), ...(await failureLog(client, task)));
  say(...(report === null ? [] : [`  report   ${file}`]), '');
};

/** Proves the result; false if there is none, or if the proof fails. */
const prove = async (task: TaskDetail, signal: AbortSignal): Promise<boolean> => {
  if (task.status !== 'completed') return false;
  const repository = localPath(task);
  const branch = task.result?.branch;
  if (!repository || !branch) {
    say(paint('red', 'The task says that it is completed, but there is no local branch to prove it.'));
    return false;
  }
  try {
    const { tests, page } = await verifyShortener(repository, branch, signal);
    say(paint('green', `Proven from a fresh clone: ${tests}, it starts, and its page "${page}" shortens an address.`));
    say('', 'To use it yourself (http://localhost:3000):', `  ${task.result?.start ?? startOf(repository, branch)}`);
    say('', `All of it took ${sinceBegin()}.`);
    return true;
  } catch (error) {
    say(paint('red', 'The result does not hold what it promises:'), (error as Error).message);
    return false;
  }
};

const startOf = (repository: string, branch: string): string =>
  `git clone -b ${branch} ${repository} snip && cd snip && npm start`;

const stay = async (fleet: Fleet, token: string, signal: AbortSignal): Promise<void> => {
  say('', `The fleet stays up at ${fleet.state.url} until Ctrl-C:`);
  say(`  NEXUS_URL=${fleet.state.url} NEXUS_TOKEN=${token} npx nexus status`);
  const alive = setInterval(() => {}, 60_000);
  await new Promise((resolve) => signal.addEventListener('abort', resolve, { once: true }));
  clearInterval(alive);
};

const sinceBegin = (): string => duration(performance.now() - began);

/** What `--json` prints when there never was a task. */
const nothing = (code: string, says: string) => ({
  status: 'failed',
  task_id: null,
  subtasks: 0,
  attempts: 0,
  sent_back: 0,
  merged: 0,
  checks: { passed: 0, failed: 0, skipped: 0, broken: 0 },
  result: { path: null, branch: null, commit: null },
  duration_ms: Math.round(performance.now() - began),
  error: { code, says },
});

const ending = new AbortController();
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
  process.on(signal, () => ending.abort(signal));
}

try {
  process.exitCode = await main(ending.signal);
} catch (error) {
  const failure = toFailure(error);
  if (!ending.signal.aborted) {
    process.stderr.write(`demo: ${failure.message}\n${failure.advice.map((line) => `  ${line}\n`).join('')}`);
    if (failure.exit === 'unexpected') process.stderr.write(`${(error as Error).stack}\n`);
  }
  if (options.json) process.stdout.write(`${JSON.stringify(nothing(failure.code, failure.message))}\n`);
  process.exitCode = failure.exit === 'config' ? exitCodes.config.code : 1;
}
if (ending.signal.aborted) process.exitCode = ending.signal.reason === 'SIGINT' ? 130 : 143;
