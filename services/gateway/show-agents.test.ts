import type { AgentDefinition } from '@nexus/shared/catalog';
import { type Presence, serviceName } from '@nexus/shared/messages/domain';
import { expect, test } from 'vitest';
import { type Seen, showAgents } from './show-agents.ts';

const agent = (agent_id: string, runtime?: string) =>
  ({
    agent_id,
    name: agent_id,
    role: 'builder',
    description: 'd',
    ...(runtime && { runtime: { name: runtime } }),
  }) as AgentDefinition;

const presence = (service: Presence['service'], over: Partial<Presence> = {}): Presence =>
  ({
    instance_id: `${service}-1`,
    service,
    host: 'h',
    state: 'serving',
    slots: 2,
    busy: 0,
    survivors: [],
    running: [],
    runtimes: [],
    ...over,
  }) as unknown as Presence;

const run = (agent_id: string, task_id: string) => ({
  agent_id,
  task_id,
  subtask_id: 'build',
  attempt: 1,
  since: '2026-11-20T10:00:00.000Z',
  doing: 'builds',
});
const command = { name: 'command', usable: true, looked: '', mend: '' };
const fleet = (worker: Partial<Presence>) =>
  serviceName.options.map((service) => presence(service, service === 'worker-agent' ? worker : {}));

const seen = (over: Partial<Seen>): Seen => ({
  agents: [agent('one'), agent('two'), agent('three', 'openai')],
  presences: fleet({ runtimes: [command] }),
  stats: new Map(),
  control: 'running',
  fabric: { ok: true, says: 'Redis answers' },
  ...over,
});

test('an agent is active while attempts of it run, idle while one could, and in error where none can', () => {
  const presences = fleet({ runtimes: [command], running: [run('one', 'task-a'), run('one', 'task-b')] });
  const shown = showAgents(seen({ presences }));
  expect(shown.agents.map(({ status, current_task }) => [status, current_task])).toEqual([
    ['active', 'task-a'],
    ['idle', null],
    ['error', null],
  ]);
  expect(shown.agents[0]?.running).toHaveLength(2);
  expect(shown).toMatchObject({ total_agents: 3, active_agents: 1, system_health: 'good' });
});

test('where tasks have to bring their command, agents are idle and all is well', () => {
  const presences = fleet({ runtimes: [{ ...command, usable: false }] });
  const shown = showAgents(seen({ presences }));
  expect(shown.agents.map(({ status }) => status)).toEqual(['idle', 'idle', 'error']);
  expect([shown.system_health, shown.says]).toEqual(['good', expect.stringContaining('each task has to bring one')]);
});

test('health has a score only where there is history', () => {
  const stats = new Map([
    ['agent:one:completed', 2],
    ['agent:one:failed', 1],
  ]);
  const [one, two] = showAgents(seen({ stats })).agents;
  expect(one).toMatchObject({ health_score: 0.67, tasks_completed_today: 2, tasks_failed_today: 1 });
  expect(two).toMatchObject({ health_score: null, tasks_completed_today: 0 });
});

test('the health of the system names what is wrong, the worst first', () => {
  const health = (over: Partial<Seen>) => {
    const { system_health, says } = showAgents(seen(over));
    return [system_health, says];
  };
  expect(health({ fabric: { ok: false, says: 'Redis does not answer' } })).toEqual(['bad', 'Redis does not answer']);
  expect(health({ presences: [presence('gateway')] })).toEqual(['bad', expect.stringContaining('worker-agent')]);
  expect(health({ presences: fleet({}) })).toEqual(['degraded', expect.stringContaining('runtime')]);
  const silent = fleet({ runtimes: [command], silent_since: '2026-01-02T03:04:05.000Z' });
  expect(health({ presences: silent })).toEqual(['degraded', expect.stringContaining('since 2026-01-02T03:04:05')]);
  const survivors = fleet({ runtimes: [command], survivors: [4711] });
  expect(health({ presences: survivors })).toEqual(['degraded', expect.stringContaining('4711')]);
  expect(health({ control: 'stopped' })).toEqual(['degraded', expect.stringContaining('stopped')]);
});
