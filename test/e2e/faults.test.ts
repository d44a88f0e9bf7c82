/**
 * The fleet in containers while one of them after the other is killed or cut off its network, each in the middle of a
 * task: every task completes.
 *
 * Docker takes a container that `docker kill` ended for one that a person has stopped, so no restart policy brings it
 * back: `docker compose up -d` does, as an operator would. A process that dies by itself is started again by Docker.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { type Client, openClient, type TaskDetail } from '@nexus/shared/client';
import { afterAll, beforeAll, expect, onTestFailed, test } from 'vitest';
import { eventually } from '../tools/eventually.ts';
import { composeFleet, type Fleet } from './compose.ts';

/** Long enough to be met at work: agents and checks of two seconds. */
const scenario = JSON.stringify({
  name: 'Two parts, one after the other',
  subtasks: {
    builder: [
      [{ wait: 2000 }, { run: 'echo done > "$(basename "$PWD").txt"' }, { report: { summary: 'Wrote a part.' } }],
    ],
  },
});
const request = {
  request: 'Write two parts',
  roles: ['builder', 'builder'],
  checks: [{ name: 'slow', command: 'sleep 2' }],
  scenario,
};

/** Each container, and the moment of a task at which it has most to lose. */
const moments: [string, string][] = [
  ['orchestrator', 'accepted'],
  ['project-manager', 'working'],
  ['worker-agent', 'working'],
  ['quality-checker', 'checking'],
  ['finalizer', 'checking'],
  ['gateway', 'working'],
  ['redis', 'working'],
];

let fleet: Fleet;
let client: Client;

beforeAll(async () => {
  fleet = await composeFleet({ NEXUS_REHEARSAL: 'on' });
  await fleet.compose('build');
  await fleet.compose('up', '-d', '--wait');
  client = openClient({ url: fleet.url, token: await fleet.exec('gateway', 'nexus', 'token') });
});

afterAll(() => fleet?.remove());

const explainFailures = (): void =>
  onTestFailed(async () => console.log(await fleet.compose('logs', '--no-color', '--tail', '40')));

/** The task as the gateway shows it, or null while the gateway is away. */
const seen = (id: string): Promise<TaskDetail | null> => client.task(id).catch(() => null);

const begun = async (moment: string): Promise<string> => {
  const { task_id } = await eventually('a task is taken', () => client.submit(request), 60_000);
  if (moment !== 'accepted') {
    const reached = async () => (await seen(task_id))?.subtasks.some(({ state }) => state === moment) ?? false;
    await eventually(`a subtask is ${moment}`, reached, 60_000);
  }
  return task_id;
};

const completes = async (id: string): Promise<void> => {
  const over = async () => {
    const task = await seen(id);
    return task !== null && ['completed', 'failed', 'cancelled'].includes(task.status) && task;
  };
  const task = await eventually(`task ${id} ends`, over, 120_000);
  expect(task).toMatchObject({ status: 'completed', reason: null });
  expect(task.subtasks.map(({ state }) => state)).toEqual(['merged', 'merged']);
  expect((await client.deadLetters()).dead_letters).toEqual([]);
};

test.each(moments)(
  'a task completes though docker kill ends the container of the %s while it is %s',
  async (service, moment) => {
    explainFailures();
    const id = await begun(moment);
    const [container = ''] = await fleet.containers(service);
    await fleet.docker('kill', container);
    await sleep(2000);
    expect(await fleet.docker('inspect', '-f', '{{.State.Running}}', container)).toBe('false');
    await fleet.compose('up', '-d', '--no-recreate');
    await completes(id);
  },
);

test.each(moments)(
  'a task completes though the container of the %s loses its network while it is %s',
  async (service, moment) => {
    explainFailures();
    const id = await begun(moment);
    const [container = ''] = await fleet.containers(service);
    const network = await fleet.docker(
      'inspect',
      '-f',
      '{{range $n, $_ := .NetworkSettings.Networks}}{{$n}}{{end}}',
      container,
    );
    await fleet.docker('network', 'disconnect', network, container);
    // Longer than it takes to be thought dead: what it holds is taken over, where there is somebody else to do so.
    await sleep(5000);
    await fleet.docker('network', 'connect', '--alias', service, network, container);
    await completes(id);
  },
);

test('a service whose process dies is started again by Docker, and the task completes', async () => {
  explainFailures();
  const id = await begun('working');
  const [container = ''] = await fleet.containers('project-manager');
  const before = await fleet.docker('inspect', '-f', '{{.RestartCount}}', container);
  // The only child of the container's first process, which is Docker's own.
  await fleet.within(container, 'kill -9 $(cat /proc/1/task/1/children)').catch(() => undefined);
  const again = async () => (await fleet.docker('inspect', '-f', '{{.RestartCount}}', container)) !== before;
  await eventually('Docker starts it again', again, 20_000);
  await completes(id);
});
