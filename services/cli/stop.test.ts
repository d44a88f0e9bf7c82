/** Stop, pause, drain, resume and retry as a person types them. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { expect, onTestFinished, test } from 'vitest';
import { answering, gateway, openHome, runNexus } from '../../test/tools/cli.ts';
import { exitCodes } from './exit-codes.ts';

const nexus = (words: string[], url: string) => runNexus(openHome(), words, url);

test('stop --all waits until every worker has confirmed, and names those that have not and what survived', async () => {
  let looks = 0;
  const instance = (name: string, confirmed: number, survivors: number[] = []) => ({
    instance_id: name,
    service: 'worker-agent',
    host: 'box',
    pid: 12,
    state: 'stopped',
    busy: 0,
    running: [],
    confirmed_epoch: confirmed,
    survivors,
  });
  const state = { state: 'stopped', epoch: 7, scopes: {}, by: 'cli', at: null };
  const { url, calls } = await gateway(({ method }, response) => {
    looks += method === 'GET' ? 1 : 0;
    const instances = [instance('w1', looks > 1 ? 7 : 5), instance('w2', 7, [4711])];
    response.end(JSON.stringify({ ...state, instances }));
  });
  const { code, out } = await nexus(['stop', '--all'], url);
  expect(calls[0]).toMatchObject({ method: 'POST', path: '/api/control', body: { command: 'STOP_ALL' } });
  expect(looks).toBe(2);
  expect(out).toContain('confirmed by 2 of 2');
  expect(out).toContain('survived: process 4711 of w2 on box; there: kill -9 4711');
  expect(code).toBe(exitCodes.failed.code);
});

test('resume says what is still held, and lifts the hold of one part', async () => {
  const state = { state: 'running', epoch: 8, by: 'cli', at: null, instances: [] };
  const { url, calls } = await gateway((_call, response) =>
    response.end(JSON.stringify({ ...state, scopes: { 'task:shop-a1': 'stopped' } })),
  );
  const whole = await nexus(['resume', '--all'], url);
  expect(whole.out).toContain('task:shop-a1 is still stopped: nexus resume --task shop-a1');
  await nexus(['resume', '--agent', 'builder'], url);
  expect(calls.at(-2)?.body).toEqual({ command: 'RESUME_ALL', scope: { agent: 'builder' } });
  const unsaid = await nexus(['resume'], url);
  expect([unsaid.code, unsaid.err.includes('cancel')]).toEqual([exitCodes.usage.code, false]);
  expect((await nexus(['resume', '--all', '--task', 'x'], url)).code).toBe(exitCodes.usage.code);
});

test.each(['REDIS_UNREACHABLE', 'REDIS_DISK', 'REDIS_READONLY', 'REDIS_REPLICAS', 'REDIS_LOADING'])(
  'where %s keeps it from the fleet, a stop says that the agents of this machine can be ended all the same',
  async (code) => {
    const { url } = await gateway((_call, response) => {
      response.statusCode = 503;
      response.end(JSON.stringify({ code, detail: 'Redis does not answer.' }));
    });
    const { code: exit, err } = await nexus(['stop', '--all'], url);
    expect(exit).toBe(exitCodes.unavailable.code);
    expect(err).toContain('nexus stop --all --local');
    expect(err).not.toContain('nexus up');
  },
);

test('a stop that lacks its token because Redis hangs says how to end the agents of this machine', async () => {
  const { url } = await gateway((_call, response) => {
    response.statusCode = 401;
    response.end(JSON.stringify({ code: 'UNAUTHENTICATED', detail: 'A bearer token is needed.' }));
  });
  const { code, err } = await nexus(['stop', '--all'], url);
  expect(code).toBe(exitCodes.refused.code);
  expect(err).toContain('On each machine, without Redis: nexus stop --all --local');
});

test('a worker that stays silent is named when the wait is over', async () => {
  const silent = {
    ...{ instance_id: 'w1', service: 'worker-agent', host: 'box', pid: 12 },
    ...{ confirmed_epoch: 1, running: [], survivors: [] },
  };
  const { url } = await gateway((_call, response) =>
    response.end(JSON.stringify({ state: 'stopped', epoch: 2, scopes: {}, instances: [silent] })),
  );
  const { code, out } = await nexus(['stop', '--all', '--wait', '1'], url);
  expect(out).toContain('silent: w1 (process 12 on box); on that machine: nexus stop --all --local');
  expect(code).toBe(exitCodes.failed.code);
});

test('a worker that dies before it confirms is named, and what lives on this machine fails the stop', async () => {
  const home = openHome();
  const env = { PATH: process.env.PATH, NEXUS_MARK: '{nexus}.left-behind', NEXUS_MARK_HOME: home };
  const left = spawn('sleep', ['300'], { stdio: 'ignore', env, detached: true });
  onTestFinished(() => void left.kill('SIGKILL'));
  const dying = {
    ...{ instance_id: 'w1', service: 'worker-agent', host: 'box', pid: 12 },
    ...{ confirmed_epoch: 1, running: [], survivors: [] },
  };
  let looks = 0;
  const { url } = await gateway(({ method }, response) => {
    looks += method === 'GET' ? 1 : 0;
    response.end(JSON.stringify({ state: 'stopped', epoch: 2, scopes: {}, instances: looks > 1 ? [] : [dying] }));
  });
  const stop = () => runNexus(home, ['stop', '--all', '--wait', '1'], url);
  const { code, out } = await stop();
  expect(out).toContain('died meanwhile: w1 (process 12 on box)');
  expect(out).toContain(`still lives on this machine: process ${left.pid}; to end it: nexus stop --all --local`);
  expect(code).toBe(exitCodes.failed.code);
  left.kill('SIGKILL');
  await once(left, 'exit');
  expect((await stop()).code).toBe(exitCodes.ok.code);
});

const worker = (running: object[]) => ({
  ...{ instance_id: 'w1', service: 'worker-agent', host: 'box', pid: 12, state: 'serving', busy: 1 },
  ...{ confirmed_epoch: 0, survivors: [], running },
});
const run = { task_id: 'shop-a1', subtask_id: 'page', attempt: 1, agent_id: 'frontend', since: '', doing: '' };

test('a stop of a part waits until nothing of it runs, and names what runs all the same', async () => {
  let looks = 0;
  const { url, calls } = await gateway(({ method }, response) => {
    looks += method === 'GET' ? 1 : 0;
    const runs = [{ ...run, task_id: 'other-b2' }, ...(looks > 2 ? [] : [run])];
    const state = { state: 'running', epoch: 0, scopes: { 'task:shop-a1': 'stopped' }, said: {} };
    response.end(JSON.stringify({ ...state, instances: [worker(runs)] }));
  });
  const ended = await nexus(['stop', '--task', 'shop-a1'], url);
  expect(calls[0]?.body).toEqual({ command: 'STOP_ALL', scope: { task: 'shop-a1' } });
  expect([ended.code, looks]).toEqual([0, 3]);
  expect(ended.out).toBe('The task shop-a1 is stopped.\n  nexus resume --task shop-a1 lets the work go on.\n');
  looks = -1000;
  const late = await nexus(['stop', '--agent', 'frontend', '--wait', '1'], url);
  expect(late.code).toBe(exitCodes.failed.code);
  expect(late.out).toContain('still runs: page of shop-a1 (frontend) at w1 on box');
});

test('pause and drain say what they hold, and that a stop is stronger', async () => {
  const state = (is: string, scopes = {}) => ({ state: is, epoch: 3, scopes, said: {}, instances: [] });
  const said = async (words: string[], answer: object) => {
    const { url, calls } = await answering({ 'POST /api/control': answer, 'GET /api/control': answer });
    const { out } = await nexus(words, url);
    return [calls[0]?.body, out];
  };
  expect(await said(['pause', '--all'], state('paused'))).toEqual([
    { command: 'PAUSE_ALL' },
    expect.stringContaining('The fleet is paused (epoch 3): what runs goes on to its end'),
  ]);
  expect((await said(['pause', '--all'], state('stopped')))[1]).toContain('it was stopped before, and stays so');
  expect((await said(['drain', '--all'], state('paused')))[1]).toContain('it was paused before, and stays so');
  expect((await said(['pause', '--task', 'shop-a1'], state('running', { 'task:shop-a1': 'stopped' })))[1]).toContain(
    'The task shop-a1 is stopped: it was stopped before, and stays so.\n',
  );
  expect(await said(['drain', '--instance', 'w1'], state('running', { 'instance:w1': 'draining' }))).toEqual([
    { command: 'DRAIN', scope: { instance: 'w1' } },
    expect.stringContaining('The instance w1 is draining'),
  ]);
});

test('what the fleet refuses of a command is told with what would be right', async () => {
  const { url } = await gateway((_call, response) => {
    response.statusCode = 409;
    const detail = 'There is nothing to resume: the fleet is not held. No part is held by itself.';
    response.end(JSON.stringify({ code: 'CONTROL_IDLE', detail }));
  });
  const { code, err } = await nexus(['resume', '--all'], url);
  expect(code).toBe(exitCodes.refused.code);
  expect(err).toContain('There is nothing to resume: the fleet is not held.');
});

test('a retry sends the note and says what is tried again', async () => {
  const answer = { task_id: 'shop-a1', status: 'retrying', subtasks: ['page', 'store'] };
  const { url, calls } = await answering({ 'POST /api/tasks/shop-a1/retry': answer });
  const { out } = await nexus(['retry', 'shop-a1', '--note', 'It is called total.'], url);
  expect(calls[0]?.body).toEqual({ note: 'It is called total.' });
  expect(out).toContain('Tried again: page, store of shop-a1.');
  await nexus(['retry', 'shop-a1', '--subtask', 'page'], url);
  expect(calls[1]?.body).toEqual({ subtask_id: 'page' });
});

const waiting = [
  { subtask_id: 'page', since: '2027-01-01T10:00:00Z', until: '2027-01-08T10:00:00Z', reason: 'Which\ncolumn?' },
];

test('tasks that wait for a person are listed with the question and the command that answers it', async () => {
  const task = {
    ...{ task_id: 'shop-a1', title: 'A shop', status: 'waiting_for_person', progress_percentage: 10 },
    ...{ created_at: '2027-01-01T00:00:00Z', waiting },
  };
  const { url, calls } = await answering({ 'GET /api/tasks': { tasks: [task], next_offset: null } });
  const { out } = await nexus(['tasks', '--waiting'], url);
  expect(calls[0]?.path).toBe('/api/tasks?limit=20&waiting=true');
  expect(out).toContain(
    'shop-a1 waits for a person about page, since 2027-01-01 10:00 UTC, until 2027-01-08 10:00 UTC:\n  Which column?',
  );
  expect(out).toContain('nexus retry shop-a1 --subtask page [--note "…"], or nexus cancel shop-a1');
  const none = await answering({ 'GET /api/tasks': { tasks: [], next_offset: null } });
  expect((await nexus(['tasks', '--waiting'], none.url)).out).toBe('No task waits for a person.\n');
});

test('the list of tasks tells of each what was put aside, and until when', async () => {
  const aside = (minute: number) => ({
    subtask_id: 'page',
    until: `2027-01-01T10:0${minute}:00.000Z`,
    waits_for: 'BUSY',
  });
  const task = {
    ...{ task_id: 'shop-a1', title: 'A shop', status: 'in_progress', progress_percentage: 10, waiting: [] },
    ...{ created_at: '2027-01-01T00:00:00Z', parked: [aside(3), aside(7)] },
  };
  const { url } = await answering({ 'GET /api/tasks': { tasks: [task], next_offset: null } });
  expect((await nexus(['tasks'], url)).out).toContain('in progress, 2 parked until 2027-01-01 10:03 UTC');
});

test('status shows what is held and by whom, who waits, what is parked, and who takes no work', async () => {
  const ago = (ms: number) => new Date(Date.now() - ms).toISOString();
  const system = {
    version: '0.1.0',
    fabric: { status: 'ok', says: 'Redis answers', since: ago(0) },
    control: {
      ...{ state: 'paused', epoch: 2, by: 'cli:ann', at: ago(61_000) },
      scopes: { 'task:shop-a1': 'stopped' },
      said: { 'task:shop-a1': { by: 'token:admin', at: ago(3_600_000) } },
    },
    instances: [{ ...worker([]), slots: 4, started_at: ago(0), refuses: 'Only 120 MB of memory are free.' }],
    open_tasks: 2,
    waiting: [{ task_id: 'shop-a1', title: 'A shop', waiting }],
    parked: [
      { id: 'm', type: 'backoff.elapsed', task_id: 'shop-a1', subtask_id: 'store', until: ago(-125_000) },
      { id: 'n', type: 'task.submitted', task_id: null, subtask_id: null, until: ago(1000) },
    ],
    backlog: { dead: 2, oldest_dead_at: ago(7_200_000), parked: 5, inboxes: { finalizer: { waiting: 1, held: 0 } } },
    rehearsal: false,
  };
  const { url } = await answering({ 'GET /api/system': system });
  const { out } = await nexus(['status'], url);
  for (const said of [
    'paused (epoch 2) by cli:ann, 1 min 01 s ago',
    'nexus resume --all lets it go on',
    'task:shop-a1 is stopped by token:admin, 1 h 00 min ago: nexus resume --task shop-a1',
    '2 dead letters, the oldest died 2 h 00 min ago: nexus dlq ls',
    'w1 takes no work: Only 120 MB of memory are free.',
    '  nexus retry shop-a1 --subtask page',
    '… and 3 more',
  ]) {
    expect(out).toContain(said);
  }
  expect(out).toMatch(/backoff\.elapsed {2}shop-a1 {2}store {2}\S+Z {2}in 2 min 0\d s/);
  expect(out).toMatch(/task\.submitted.*due/);
});
