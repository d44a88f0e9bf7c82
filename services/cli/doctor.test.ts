import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { ClientProblem, type System } from '@nexus/shared/client';
import { defaultHome } from '@nexus/shared/config';
import { fail } from '@nexus/shared/errors';
import type { Presence } from '@nexus/shared/messages/domain';
import { expect, test } from 'vitest';
import { openHome } from '../../test/tools/cli.ts';
import {
  diedFinding,
  diskFinding,
  gatewayFinding,
  gitFinding,
  homeFinding,
  letterFinding,
  nodeFinding,
  presenceFindings,
  redisFinding,
  runtimeFindings,
  sandboxFindings,
  unreadFindings,
  waitingFinding,
} from './doctor.ts';
import { painter } from './output.ts';
import { findingLines } from './verbs/doctor.ts';

const server = {
  url: 'redis://127.0.0.1:6379',
  software: 'redis' as const,
  version: '8.0.1',
  policy: 'noeviction',
  durability: 'always',
  usedBytes: 10,
  limitBytes: 0,
  refuses: null,
  roundTripMs: 0.2,
};

test.each([
  ['a good server', {}, 'ok'],
  ['everysec', { durability: 'everysec' }, 'ok'],
  ['a server that is too old', { version: '6.2.0' }, 'fail'],
  ['Valkey 7', { software: 'valkey' as const, version: '7.2.4' }, 'fail'],
  ['one that cannot save', { refuses: fail('REDIS_DISK', { url: 'redis://h', message: 'MISCONF' }) }, 'fail'],
  ['one that throws keys away', { policy: 'allkeys-lru' }, 'fail'],
  ['one that forgets at a restart', { durability: 'off' }, 'warn'],
  ['one that never syncs', { durability: 'no' }, 'warn'],
  ['one whose memory is nearly full', { usedBytes: 90, limitBytes: 100 }, 'warn'],
])('redis: %s', (_name, more, state) => {
  const finding = redisFinding({ ...server, ...more });
  expect(finding.state).toBe(state);
  expect(finding.mend === '').toBe(state === 'ok');
});

const logged = (msg: string, level = 'info') => JSON.stringify({ level, time: '2027-01-01T12:03:44.000Z', msg });
const crash = [
  '/srv/main.ts:7',
  '  throw new TypeError("no");',
  '  ^',
  '',
  'TypeError: no',
  '    at a:7',
  '',
  'Node.js v26',
];

test.each([
  ['was killed', [logged('a service serves'), logged('Dead letter: no', 'error')], 'without a word', 'journalctl -k'],
  ['was told to end', [logged('finalizer drains'), logged('finalizer has ended')], '(SIGTERM)', 'nexus up'],
  ['failed', [logged('a service serves'), ...crash], 'it said: TypeError: no', 'read '],
  [
    'could not start',
    ['gateway cannot start (PORT_TAKEN): Port', 'What to do: x'],
    'cannot start (PORT_TAKEN)',
    'read ',
  ],
  ['had failed before, and was killed', [...crash, logged('a service serves')], 'without a word', 'nexus up'],
  [
    'was Redis, killed',
    ['7:M 01 Jan 2027 00:00:00.000 * Ready to accept connections tcp'],
    'without a word',
    'nexus up',
  ],
  [
    'was Redis, told to end',
    ['7:M 01 Jan 2027 00:00:00.000 # Redis is now ready to exit, bye bye...'],
    'SIGTERM',
    'nexus up',
  ],
  ['was Redis, failed', ['7:M 01 Jan 2027 00:00:00.000 # Fatal error: no disk'], 'said: 7:M', 'read '],
])('a process of the fleet that %s is told as what it is', (_name, lines, says, mend) => {
  const log = join(openHome(), 'a.log');
  writeFileSync(log, `${lines.join('\n')}\n`);
  const finding = diedFinding({ name: 'finalizer', log });
  expect(finding).toMatchObject({ state: 'fail', says: expect.stringContaining(says) });
  expect(finding.mend).toContain(mend);
  expect(finding.mend).not.toContain('nexus down');
});

test('node, git and disk each have a line that says what mends it', () => {
  expect(nodeFinding('26.1.0').state).toBe('ok');
  expect(nodeFinding('20.9.0')).toMatchObject({ state: 'fail', mend: expect.stringContaining('npm ci') });
  expect(gitFinding('2.39.5').state).toBe('ok');
  expect(gitFinding('2.20.1').state).toBe('fail');
  expect(gitFinding('').state).toBe('fail');
  expect([100, 1000, 90_000].map((mb) => diskFinding('/home', mb).state)).toEqual(['fail', 'warn', 'ok']);
});

test('the home is named; below a node_modules it is a failure, among temporary files a warning', () => {
  const home = openHome();
  expect(homeFinding(home)).toMatchObject({ state: 'ok', says: home });
  expect(homeFinding(defaultHome({ HOME: join(home, 'missing') }))).toMatchObject({ name: 'home', state: 'warn' });
  mkdirSync(join(home, 'node_modules'));
  const below = homeFinding(join(home, 'state'));
  expect(below).toMatchObject({ state: 'fail', mend: expect.stringContaining('NEXUS_HOME') });
  expect(below.says).toContain('node_modules');
});

const at = (seconds: number) => new Date(Date.UTC(2027, 0, 1) + seconds * 1000).toISOString();

const instance = (service: string, runtimes: Presence['runtimes'] = []): Presence =>
  ({ service, host: 'here', pid: 7, state: 'serving', runtimes }) as unknown as Presence;

test('a service without a living instance is a failure; a stopped fleet is a warning with its way out', () => {
  const system = {
    fabric: { status: 'ok', says: 'Redis answers', since: '' },
    control: {
      ...{ state: 'stopped', epoch: 4, scopes: { 'task:shop-a1': 'paused', 'agent:x': 'stopped' } },
      ...{ said: { 'task:shop-a1': { by: 'token:admin', at: at(30) } }, by: 'cli:ann', at: at(0) },
    },
    instances: ['gateway', 'orchestrator', 'project-manager', 'worker-agent', 'quality-checker'].map((s) =>
      instance(s),
    ),
  } as unknown as System;
  const findings = presenceFindings(system, Date.parse(at(90)));
  expect(findings.filter(({ state }) => state === 'fail').map(({ name }) => name)).toEqual(['finalizer']);
  expect(findings.find(({ name }) => name === 'control')).toMatchObject({
    state: 'warn',
    says: `stopped by cli:ann, ${at(0)} (1 min 30 s ago)`,
    mend: 'nexus resume --all',
  });
  expect(findings.filter(({ name }) => name === 'held part')).toMatchObject([
    {
      state: 'warn',
      says: `task:shop-a1 is paused by token:admin, ${at(30)} (1 min 00 s ago)`,
      mend: 'nexus resume --task shop-a1',
    },
    { says: 'agent:x is stopped by somebody', mend: 'nexus resume --agent x' },
  ]);
  const full = { ...instance('worker-agent'), refuses: 'No memory.' };
  const refusing = presenceFindings({ ...system, instances: [full] } as System, Date.parse(at(90)));
  expect(refusing.find(({ name }) => name === 'worker-agent')?.says).toContain('takes no work: No memory.');
});

test('a worker whose agents, or a gate whose checks have no sandbox is a warning, with the reason and its mend', () => {
  const telling = (sandbox: Presence['sandbox'], service: Presence['service'] = 'worker-agent') =>
    ({ ...instance(service), sandbox }) as Presence;
  const boxed = telling({ state: 'on', says: 'by /usr/bin/bwrap', mend: '' });
  expect(sandboxFindings([instance('gateway'), boxed])).toMatchObject([{ state: 'ok', name: 'sandbox' }]);
  const bare = telling({ state: 'missing', says: 'bwrap is not on the path', mend: 'install bubblewrap' });
  expect(sandboxFindings([boxed, bare])).toEqual([
    {
      ...{ name: 'sandbox', state: 'warn', mend: 'install bubblewrap' },
      says: 'agents run without one, and what hides from a stop outlives it: bwrap is not on the path',
    },
  ]);
  expect(sandboxFindings([instance('worker-agent')])).toEqual([]);
  const gate = telling({ state: 'on', says: 'by /usr/bin/bwrap', mend: '' }, 'quality-checker');
  expect(sandboxFindings([boxed, gate])).toMatchObject([{ says: 'agents and checks run in one, by /usr/bin/bwrap' }]);
  const off = telling({ state: 'off', says: 'NEXUS_SANDBOX is off', mend: '' }, 'quality-checker');
  expect(sandboxFindings([boxed, off])).toMatchObject([
    {
      ...{
        state: 'warn',
        says: 'checks run without one, and what hides from a stop outlives it: NEXUS_SANDBOX is off',
      },
      mend: 'set NEXUS_SANDBOX=auto on the quality checkers',
    },
  ]);
});

test('agents that the fleet cannot read are a failure, each once, with those who say so', () => {
  const telling = (service: string, agents_unread?: string | null) =>
    ({ ...instance(service), agents_unread }) as Presence;
  const twice = 'Two definitions are called "code".';
  const fleet = [telling('gateway', twice), telling('worker-agent', twice), telling('worker-agent', twice)];
  expect(unreadFindings([...fleet, telling('orchestrator', null), telling('finalizer')])).toEqual([
    {
      ...{ name: 'agents in use', state: 'fail', mend: expect.stringContaining('rename it') },
      says: `stay as they were (gateway, worker-agent): ${twice}`,
    },
  ]);
});

test('tasks that wait for a person are told with the oldest', () => {
  const wait = { subtask_id: 'page', since: at(0), until: at(900), reason: 'Which?' };
  const waiting = ['shop-a1', 'shop-b2'].map((task_id) => ({ task_id, title: '', waiting: [wait] }));
  expect(waitingFinding({ waiting }, Date.parse(at(90)))).toMatchObject({
    state: 'warn',
    says: 'shop-a1, since 1 min 30 s ago and 1 more',
    mend: 'nexus tasks --waiting',
  });
  expect(waitingFinding({ waiting: [] }, 0).state).toBe('ok');
});

test('dead letters are told with their number and age', () => {
  const backlog = { dead: 3, oldest_dead_at: at(0), parked: 0, inboxes: {} };
  expect(letterFinding({ backlog }, 'No.', Date.parse(at(90)))).toMatchObject({
    state: 'warn',
    says: '3, the oldest died 1 min 30 s ago; the newest: No.',
  });
  expect(letterFinding({ backlog: { ...backlog, dead: 0 } }, undefined, 0).state).toBe('ok');
});

test('only where no gateway runs the advice is to start a fleet', () => {
  const problem = (code: string) => new ClientProblem({ status: 503, code, title: '', detail: 'x' });
  expect(gatewayFinding(problem('GATEWAY_UNREACHABLE')).mend).toContain('nexus up');
  for (const code of ['REDIS_UNREACHABLE', 'GATEWAY_SILENT', 'GATEWAY_FOREIGN'])
    expect(gatewayFinding(problem(code)).mend).not.toContain('nexus up');
});

test('a runtime is usable if one worker can use it; where only rehearsals work, that is said', () => {
  const scripted = { name: 'scripted', usable: true, looked: 'NEXUS_REHEARSAL is on', mend: '' };
  const broken = { name: 'command', usable: false, looked: 'NEXUS_AGENT_COMMAND is not set', mend: 'set it' };
  const works = { ...broken, usable: true, looked: './agent', mend: '' };
  const states = (runtimes: Presence['runtimes'][]) =>
    runtimeFindings(runtimes.map((of) => instance('worker-agent', of))).map(({ name, state }) => `${name} ${state}`);
  expect(states([[scripted, broken], [works]])).toEqual(['runtime scripted ok', 'runtime command ok']);
  expect(states([[scripted, broken]])).toEqual(['runtime scripted ok', 'runtime command warn', 'runtimes warn']);
  expect(states([[{ ...works, mend: 'start its server' }]])).toEqual(['runtime command warn', 'runtimes fail']);
  expect(states([[{ ...works, mend: 'start its server' }], [works]])).toEqual(['runtime command ok']);
  expect(states([[broken]])).toEqual(['runtime command warn', 'runtimes fail']);
  expect(states([])).toEqual([]);
});

test('each finding is a line, with what mends it below', () => {
  const findings = [nodeFinding('26.1.0'), nodeFinding('20.9.0')];
  expect(findingLines(findings, painter(false))).toEqual([
    'ok    node  26.1.0',
    'fail  node  20.9.0 is too old; NEXUS runs on 26',
    '            → npm ci brings it along; then type npx nexus',
  ]);
});
