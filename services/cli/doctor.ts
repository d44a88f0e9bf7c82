/**
 * What `nexus doctor` looks at: each finding is ok, a warning or a failure, with the one thing that mends it.
 *
 * Every look is made, whatever the ones before have found, but what needs Redis is left out where none answers: its
 * finding would only hide the one that matters. None changes anything.
 */

import { existsSync } from 'node:fs';
import { statfs } from 'node:fs/promises';
import { dirname } from 'node:path';
import { describeServer, type ServerDescription, whyOpen } from '@nexus/shared/bus';
import { type Client, ClientProblem, openClient, type System } from '@nexus/shared/client';
import { type FabricConfig, makeshiftWarning, modulesAbove } from '@nexus/shared/config';
import { type Presence, serviceName } from '@nexus/shared/messages/domain';
import { run } from '@nexus/shared/process';
import { asTyped, inContainer } from './command-word.ts';
import type { CliConfig } from './config.ts';
import { lookAtAgents, lookAtGiven } from './doctor-agents.ts';
import { type FleetProcess, lives, readFleet } from './fleet-state.ts';
import { endOf } from './log-lines.ts';
import { ago } from './output.ts';
import { knock, type Tools } from './tools.ts';

export type Finding = { name: string; state: 'ok' | 'warn' | 'fail'; says: string; mend: string };

/** All findings, in the order in which they matter. */
export const examine = async (tools: Tools): Promise<Finding[]> => {
  const { config } = tools;
  const [git, redis, docker, disk, agents] = await Promise.all([
    lookAtGit(),
    lookAtRedis(config),
    lookAtDocker(),
    lookAtDisk(config.home),
    lookAtAgents(),
  ]);
  const fleet = await lookAtFleet(tools, redis.answers);
  return [
    nodeFinding(process.versions.node),
    git,
    ...redis.findings,
    homeFinding(config.home),
    disk,
    ...docker,
    agents,
    ...diedHere(config),
    ...fleet,
  ];
};

// --- this machine ------------------------------------------------------------------------------

const ok = (name: string, says: string): Finding => ({ name, state: 'ok', says, mend: '' });
const warn = (name: string, says: string, mend: string): Finding => ({ name, state: 'warn', says, mend });
const bad = (name: string, says: string, mend: string): Finding => ({ name, state: 'fail', says, mend });

export const nodeFinding = (version: string): Finding =>
  Number(version.split('.')[0]) >= 26
    ? ok('node', version)
    : bad('node', `${version} is too old; NEXUS runs on 26`, 'npm ci brings it along; then type npx nexus');

const gitWanted = [2, 31] as const;

export const gitFinding = (said: string): Finding => {
  const [, major = '0', minor = '0'] = /(\d+)\.(\d+)/.exec(said) ?? [];
  const old = Number(major) < gitWanted[0] || (Number(major) === gitWanted[0] && Number(minor) < gitWanted[1]);
  if (said === '') return bad('git', 'is not on the path', 'install git: everything is kept in it');
  return old
    ? bad('git', `${major}.${minor} is too old`, `install git ${gitWanted.join('.')} or newer`)
    : ok('git', said);
};

const lookAtGit = async (): Promise<Finding> =>
  gitFinding((await outputOf(['git', '--version'])).replace('git version ', ''));

/** From within a container there is none to be seen. */
const lookAtDocker = async (): Promise<Finding[]> => {
  if (inContainer) return [];
  const version = await outputOf(['docker', 'version', '--format', '{{.Server.Version}}']);
  if (version !== '') return [ok('docker', version)];
  return [warn('docker', 'no engine answers', 'only `docker compose up` needs one; `nexus up` does without')];
};

/** What a command printed; empty if it failed or does not exist. */
const outputOf = async (command: [string, ...string[]]): Promise<string> => {
  try {
    const result = await run({ command, folder: '/', timeoutMs: 5000, outputBytesMax: 10_000 });
    return result.exitCode === 0 ? result.stdout.trim() : '';
  } catch {
    return '';
  }
};

/** Where everything is kept: above it there may be no packages, and it should outlive a restart. */
export const homeFinding = (home: string): Finding => {
  const modules = modulesAbove(home);
  const mend = 'set NEXUS_HOME to a folder of yours with no node_modules above it';
  if (modules !== null) return bad('home', `${home} lies below ${modules}, whose packages checks would find`, mend);
  return makeshiftWarning(home) ? warn('home', `${home} lies among temporary files`, mend) : ok('home', home);
};

const mb = 1024 * 1024;

const lookAtDisk = async (home: string): Promise<Finding> => {
  let folder = home;
  while (!existsSync(folder)) folder = dirname(folder);
  const { bavail, bsize } = await statfs(folder);
  return diskFinding(home, Math.floor((bavail * bsize) / mb));
};

export const diskFinding = (home: string, freeMb: number): Finding => {
  const says = `${freeMb} MB free for ${home}`;
  const mend = 'delete ended tasks, free some disk, or move NEXUS_HOME';
  if (freeMb < 500) return bad('disk', says, mend);
  return freeMb < 2000 ? warn('disk', says, mend) : ok('disk', says);
};

const diedHere = ({ home }: CliConfig): Finding[] =>
  (readFleet(home)?.processes ?? []).filter((one) => !lives(one)).map(diedFinding);

export const diedFinding = ({ name, log }: Pick<FleetProcess, 'name' | 'log'>): Finding => {
  const { how, says } = endOf(log);
  const again = 'nexus up starts it again';
  if (how === 'failed') return bad(name, `was started here and died; it said: ${says}`, `read ${log}; ${again}`);
  if (how === 'told') return bad(name, 'was started here, and somebody told it to end (SIGTERM)', again);
  const kernel = 'where nobody killed it, look whether the kernel did for want of memory: journalctl -k, or dmesg';
  return bad(name, 'was started here and ended without a word, as kill -9 ends a process', `${again}; ${kernel}`);
};

// --- Redis -------------------------------------------------------------------------------------

const addressOf = ({ redisUrl: url, redisPassword: password, sentinelPassword }: FabricConfig) => ({
  url,
  password,
  sentinelPassword,
});

/** `answers`: what it holds can be read, also where it takes no writes. */
const lookAtRedis = async ({ fabric }: CliConfig): Promise<{ findings: Finding[]; answers: boolean }> => {
  try {
    // Its refusal says why nobody answers; that of a client that gives up says only that it gave up.
    await knock(fabric.redisUrl);
    const [server, open] = await Promise.all([describeServer(addressOf(fabric)), whyOpen(addressOf(fabric))]);
    return { findings: [redisFinding(server), passwordFinding(open)], answers: true };
  } catch (error) {
    const mend = 'start one (`nexus up` does if redis-server is installed), or set REDIS_URL';
    return { findings: [bad('redis', (error as Error).message, mend)], answers: false };
  }
};

/** The sandbox leaves agents, set-ups and checks the network, so a Redis without a password is theirs, too. */
export const passwordFinding = (open: string | null): Finding =>
  open === null ? ok('redis password', 'is wanted') : warn('redis password', `${open}: ${whatOpens}`, passwordMend);
const whatOpens =
  'what agents, set-ups and checks run can reach that Redis, read the token of the API there, and command the fleet';
// A file, not the variable itself: that would stand in a start-up file of the shell, which agents can read.
const passwordMend = inContainer
  ? 'put REDIS_PASSWORD=<one of your own> into .env, then docker compose up -d'
  : 'write one of your own into a file and set REDIS_PASSWORD_FILE to its path, then `nexus down` and `nexus up`; a ' +
    'Redis that `nexus up` did not start has to be given it, too (requirepass)';

/** The same in a line, for whoever starts a fleet; [] where there is nothing to say. */
export const passwordLines = async ({ fabric }: CliConfig): Promise<string[]> => {
  const open = await whyOpen(addressOf(fabric));
  return open === null ? [] : [`Redis is open to agents: ${open}. ${asTyped('`nexus doctor` says what mends it.')}`];
};

export const redisFinding = (server: ServerDescription): Finding => {
  const { url, software, version, policy, durability, roundTripMs, refuses } = server;
  const says = `${software} ${version} at ${url}, ${policy}, AOF ${durability}, ${roundTripMs.toFixed(1)} ms`;
  const [major = 0] = version.split('.').map(Number);
  if (software === 'redis' ? major < 7 : major < 8) {
    return bad('redis', says, 'use Redis 7 or Valkey 8 at least');
  }
  if (refuses !== null) return bad('redis', `${says}; it takes no writes: ${refuses.message}`, refuses.entry.operator);
  if (policy !== 'noeviction') return bad('redis', says, 'CONFIG SET maxmemory-policy noeviction: it throws work away');
  if (durability === 'off') return warn('redis', says, 'CONFIG SET appendonly yes: a restart of it loses all tasks');
  if (durability === 'no') return warn('redis', says, 'CONFIG SET appendfsync always (or everysec)');
  const full = server.limitBytes > 0 && server.usedBytes > 0.8 * server.limitBytes;
  return full
    ? warn('redis', `${says}; its memory is nearly full`, 'raise maxmemory, delete ended tasks')
    : ok('redis', says);
};

// --- the fleet ---------------------------------------------------------------------------------

/** `redisAnswers` from here: the gateway may have another Redis, so where there is a token it is asked all the same. */
const lookAtFleet = async (tools: Tools, redisAnswers: boolean): Promise<Finding[]> => {
  const { url, config } = tools;
  // Without a token of its own the client would look for one in Redis.
  const asked = redisAnswers ? await tools.client() : openClient({ url, token: config.token, timeoutMs: 10_000 });
  let gateway: Finding;
  try {
    const health = await asked.health();
    if (health.status !== 'ok') {
      return [bad('gateway', `at ${url}: ${health.says}, since ${health.since}`, 'mend that first')];
    }
    gateway = ok('gateway', `answers at ${url}`);
  } catch (error) {
    return [gatewayFinding(error)];
  }
  if (!redisAnswers && config.token === undefined) {
    return [
      gateway,
      warn('fleet', 'was not looked at: the token lies in Redis', 'mend redis first, or set NEXUS_TOKEN'),
    ];
  }
  try {
    return [gateway, ...(await lookInside(asked))];
  } catch (error) {
    return [gateway, { ...gatewayFinding(error), name: 'fleet' }];
  }
};

/** Why nothing is known of the fleet; only a gateway that does not run is a reason to start one. */
export const gatewayFinding = (error: unknown): Finding => {
  const says = error instanceof Error ? error.message : String(error);
  const code = error instanceof ClientProblem ? error.code : '';
  if (code === 'GATEWAY_UNREACHABLE') return bad('gateway', says, 'start a fleet with `nexus up`, or set NEXUS_URL');
  if (code === 'REDIS_UNREACHABLE') return bad('gateway', says, 'start the Redis of the fleet; it goes on by itself');
  if (code === 'GATEWAY_SILENT') return bad('gateway', says, 'look at Redis, and at the log of the gateway');
  return bad('gateway', says, 'set NEXUS_URL to a gateway; `nexus status` may tell more');
};

const lookInside = async (client: Client): Promise<Finding[]> => {
  try {
    const [system, letters, given] = await Promise.all([
      client.system(),
      client.deadLetters({ limit: 1 }),
      lookAtGiven(client),
    ]);
    return [
      ok('token', 'is accepted'),
      ...presenceFindings(system, Date.now()),
      ...runtimeFindings(system.instances),
      ...sandboxFindings(system.instances),
      ...unreadFindings(system.instances),
      ...given,
      waitingFinding(system, Date.now()),
      letterFinding(system, letters.dead_letters[0]?.says, Date.now()),
    ];
  } catch (error) {
    if (!(error instanceof ClientProblem) || ![401, 403].includes(error.status)) throw error;
    return [bad('token', error.detail, 'set NEXUS_TOKEN, or REDIS_URL to the Redis of that fleet')];
  }
};

export const letterFinding = ({ backlog }: Pick<System, 'backlog'>, newest = '', now: number): Finding => {
  if (backlog.dead === 0) return ok('dead letters', 'none');
  const says = `${backlog.dead}, the oldest died ${ago(backlog.oldest_dead_at, now)}; the newest: ${newest}`;
  return warn('dead letters', says, 'nexus dlq ls');
};

const controlFindings = ({ state, scopes, said, by, at }: System['control'], now: number): Finding[] => {
  const who = (name: string | null | undefined, when: string | null | undefined): string =>
    `${name ?? 'somebody'}${when ? `, ${when} (${ago(when, now)})` : ''}`;
  const parts = Object.entries(scopes).filter(([, held]) => held !== 'running');
  return [
    state === 'running'
      ? ok('control', 'running')
      : warn('control', `${state} by ${who(by, at)}`, 'nexus resume --all'),
    ...parts.map(([scope, held]) =>
      warn(
        'held part',
        `${scope} is ${held} by ${who(said?.[scope]?.by, said?.[scope]?.at)}`,
        `nexus resume ${resumeWords(scope)}`,
      ),
    ),
  ];
};

/** Tasks that go on only when somebody answers. */
export const waitingFinding = ({ waiting }: Pick<System, 'waiting'>, now: number): Finding => {
  const [first] = waiting;
  if (first === undefined) return ok('waiting for a person', 'no task');
  const asked = first.questions?.find(({ answer }) => answer === null)?.asked_at;
  const oldest = first.waiting[0]?.since ?? asked ?? null;
  const others = waiting.length > 1 ? ` and ${waiting.length - 1} more` : '';
  return warn('waiting for a person', `${first.task_id}, since ${ago(oldest, now)}${others}`, 'nexus tasks --waiting');
};

/** The options that lift the hold of a part: `task:x` is `--task x`. */
export const resumeWords = (scope = ''): string => {
  const at = scope.indexOf(':');
  return `--${scope.slice(0, at)} ${scope.slice(at + 1)}`;
};

/** The state of the fleet, and each service with its instances. */
export const presenceFindings = ({ control, fabric, instances }: System, now: number): Finding[] => [
  fabric.status === 'ok'
    ? ok('fabric', fabric.says)
    : bad('fabric', `${fabric.says}, since ${fabric.since}`, 'look at Redis'),
  ...controlFindings(control, now),
  ...serviceName.options.map((service) => {
    const all = instances.filter((instance) => instance.service === service);
    const shown = all.map(({ host, pid, state }) => `${host}:${pid} ${state}`).join(', ');
    const refused = all.find(({ refuses }) => refuses);
    if (refused) return warn(service, `${refused.instance_id} takes no work: ${refused.refuses}`, 'make room there');
    const silent = all.find(({ silent_since }) => silent_since !== undefined);
    if (silent) {
      const says = `${silent.host}:${silent.pid} is silent since ${silent.silent_since}`;
      return warn(service, says, 'let that process go on where it is paused, or end it; others take its work over');
    }
    if (all.length === 0) return bad(service, 'no instance is alive', `nexus up, or docker compose up -d ${service}`);
    return ok(service, shown);
  }),
];

/** Each runtime as the workers find it; one that is usable somewhere is usable. */
export const runtimeFindings = (instances: readonly Presence[]): Finding[] => {
  const workers = instances.filter(({ service }) => service === 'worker-agent');
  const byName = Map.groupBy(
    workers.flatMap(({ runtimes }) => runtimes),
    ({ name }) => name,
  );
  const findings = [...byName].map(([name, found]): Finding => {
    const usable = found.find((one) => one.usable && one.mend === '') ?? found.find((one) => one.usable);
    if (usable?.mend) return warn(`runtime ${name}`, usable.looked, usable.mend);
    if (usable) return ok(`runtime ${name}`, usable.looked);
    return warn(`runtime ${name}`, `not usable: ${found[0]?.looked ?? ''}`, found[0]?.mend ?? '');
  });
  if (workers.length === 0 || findings.some(({ name, state }) => state === 'ok' && name !== 'runtime scripted')) {
    return findings;
  }
  const mend = 'mend one of the runtimes above, or give an agent with the task (--agent-command)';
  // Where rehearsals are on, a fleet without an agent is what somebody wanted.
  const found = findings.some(({ state }) => state === 'ok') ? warn : bad;
  return [...findings, found('runtimes', 'no worker can run an agent by itself', mend)];
};

/** Whether agents run in a sandbox, and the checks of what they made: the first service without one says why. */
export const sandboxFindings = (instances: readonly Presence[]): Finding[] => {
  const told = instances.flatMap(({ service, sandbox }) => (sandbox ? [{ ...sandbox, who: whoRuns[service] }] : []));
  const without = told.find(({ state }) => state !== 'on');
  const who = [...new Set((without ? [without] : told).map((one) => one.who))].sort().join(' and ');
  if (without === undefined) return told.slice(0, 1).map(({ says }) => ok('sandbox', `${who} run in one, ${says}`));
  const mend =
    without.mend || `set NEXUS_SANDBOX=auto on the ${without.who === 'agents' ? 'workers' : 'quality checkers'}`;
  // All that `marked.mjs` finds a process by can be left, and only a sandbox ends what has left it all.
  const so = `${who} run without one, and what hides from a stop outlives it: ${without.says}`;
  return [warn('sandbox', so, mend)];
};

/** Agents and workflows that the fleet cannot read: it goes on without them, and no service would start again. */
export const unreadFindings = (instances: readonly Presence[]): Finding[] =>
  [...Map.groupBy(instances, ({ agents_unread }) => agents_unread ?? '')]
    .filter(([says]) => says !== '')
    .map(([says, those]) => {
      const who = [...new Set(those.map(({ service }) => service))].join(', ');
      const mend = 'correct that file, rename it, or take it away: it is read again within seconds';
      return bad('agents in use', `stay as they were (${who}): ${says}`, mend);
    });

const whoRuns: Record<string, string> = { 'worker-agent': 'agents', 'quality-checker': 'checks' };
