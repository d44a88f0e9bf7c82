import { ClientProblem, type FleetEvent, type TaskDetail } from '@nexus/shared/client';
import { expect, test } from 'vitest';
import { type Following, followTask, waitsForPersonOnly } from './follow.ts';

const taskAt = (status: string): TaskDetail => ({ task_id: 't-1', status, subtasks: [] }) as unknown as TaskDetail;
const away = () =>
  new ClientProblem({
    status: 0,
    code: 'GATEWAY_UNREACHABLE',
    title: '',
    detail: 'Nobody answers.',
    problems: undefined,
  });

const history = [
  { attempt: 1, outcome: 'finished', says: 'All done.' },
  { attempt: 1, outcome: 'gate_failed', says: 'npm test: it ended with exit code 1.' },
  { attempt: 2, outcome: 'finished', says: 'Mended.' },
];

/** A client whose task takes these states in turn; an error among them is thrown. */
const clientOf = (
  states: (string | Error)[],
  events: Following['client']['events'] = async function* () {},
): Following['client'] & { looks: number } => {
  const client = {
    looks: 0,
    task: async () => {
      const state = states[Math.min(client.looks, states.length - 1)] ?? '';
      client.looks += 1;
      if (state instanceof Error) throw state;
      return taskAt(state);
    },
    subtask: async () => ({ history }) as never,
    events,
  };
  return client;
};

const follow = (client: Following['client'], more: Partial<Following> = {}) =>
  followTask({
    client,
    taskId: 't-1',
    signal: new AbortController().signal,
    onView: () => {},
    onTrouble: () => {},
    pollMs: 20,
    ...more,
  });

test('a task is followed to its end although no event ever comes', async () => {
  const client = clientOf(['planning', 'in_progress', 'stopped', 'waiting_for_person', 'completed']);
  const seen: string[] = [];
  const task = await follow(client, { onView: ({ status }) => seen.push(status) });
  expect(task.status).toBe('completed');
  expect(seen).toEqual(['planning', 'in_progress', 'stopped', 'waiting_for_person', 'completed']);
});

test('a subtask that is tried again has the reason for it, from its history', async () => {
  const client = clientOf(['in_progress', 'completed']);
  const task = async () => {
    client.looks += 1;
    const subtasks = [{ id: 'page', state: 'working', reason: null, sent_back: 1, failures: 0 }];
    return { ...taskAt(client.looks > 1 ? 'completed' : 'in_progress'), subtasks } as unknown as TaskDetail;
  };
  const reasons: (string | null | undefined)[] = [];
  await follow({ ...client, task }, { onView: ({ subtasks }) => reasons.push(subtasks[0]?.reason) });
  expect(reasons).toEqual(['npm test: it ended with exit code 1.', 'npm test: it ended with exit code 1.']);
});

test('an event wakes, long before the next look would be due', async () => {
  async function* events(): AsyncGenerator<FleetEvent> {
    await new Promise((resolve) => setTimeout(resolve, 200));
    yield { id: '1-0', at: '', kind: 'settled', task_id: 't-1', body: {} };
  }
  const began = performance.now();
  await follow(clientOf(['in_progress', 'completed'], events), { pollMs: 60_000 });
  expect(performance.now() - began).toBeLessThan(10_000);
});

test('what agents say is shown at once, by its last line', async () => {
  async function* events({ signal }: { signal?: AbortSignal | undefined } = {}): AsyncGenerator<FleetEvent> {
    const body = { event: 'agent.output', subtask_id: 'page', text: 'one\ntwo\n\n' };
    yield { id: '1-0', at: '', kind: 'event', task_id: 't-1', body };
    await new Promise((resolve) => signal?.addEventListener('abort', resolve));
  }
  const notes: (string | undefined)[] = [];
  const outputs: (string | undefined)[] = [];
  const states = ['in_progress', 'in_progress', 'completed'];
  await follow(clientOf(states, events), {
    onView: (_task, said) => notes.push(said.get('page')),
    onOutput: ({ text }) => outputs.push(text),
  });
  expect(notes).toContain('two');
  expect(outputs).toContain('one\ntwo\n\n');
});

test('a gateway that is away is told once, waited for, and told when it is back', async () => {
  const troubles: (string | null)[] = [];
  const client = clientOf(['in_progress', away(), away(), 'completed']);
  const task = await follow(client, { onTrouble: (problem) => troubles.push(problem) });
  expect(task.status).toBe('completed');
  expect(troubles).toEqual(['Nobody answers.', null]);
});

test('patience has an end: the task goes on, the following does not', async () => {
  const failure = follow(clientOf(['in_progress', away()]), { patienceMs: 100 });
  await expect(failure).rejects.toMatchObject({ exit: 'unavailable', code: 'GATEWAY_UNREACHABLE' });
});

test('what the gateway refuses is thrown, not waited for', async () => {
  const refused = new ClientProblem({
    status: 404,
    code: 'TASK_UNKNOWN',
    title: '',
    detail: 'No.',
    problems: undefined,
  });
  await expect(follow(clientOf([refused]))).rejects.toBe(refused);
});

test('what waits for a person is left only when nothing else goes on', async () => {
  const waiting = (...states: string[]) => ({
    status: 'waiting_for_person',
    subtasks: states.map((state) => ({ state })),
  });
  const leaves = (...states: string[]) => waitsForPersonOnly(waiting(...states) as TaskDetail);
  expect(leaves('merged', 'waiting_for_person', 'blocked')).toBe(true);
  for (const state of ['ready', 'working', 'checking', 'merging', 'parked']) {
    expect(leaves('waiting_for_person', state), state).toBe(false);
  }
  expect(waitsForPersonOnly(taskAt('in_progress'))).toBe(false);
  const task = await follow(clientOf(['in_progress', 'waiting_for_person', 'completed']), {
    leaves: waitsForPersonOnly,
  });
  expect(task.status).toBe('waiting_for_person');
});

test('events are heard from where they are asked for, and after a break from where it broke', async () => {
  const asked: (string | undefined)[] = [];
  async function* events({ after }: { after?: string | undefined } = {}): AsyncGenerator<FleetEvent> {
    asked.push(after);
    yield { id: '7-0', at: '', kind: 'settled', task_id: 't-1', body: {} };
    throw new Error('broken');
  }
  const client = clientOf(['in_progress'], events);
  const task = async () => taskAt(asked.length > 1 ? 'completed' : 'in_progress');
  await follow({ ...client, task }, { after: '5-0' });
  expect(asked).toEqual(['5-0', '7-0']);
});

test('a plan that goes back says why: it stands in what the next attempt is told', async () => {
  const says = 'Your .nexus/plan.json cannot be used: it names no subtask.';
  const client = clientOf(['in_progress', 'completed']);
  const subtask = async () => ({ history: history.slice(0, 1), hand_over: { why: 'plan_invalid', says } }) as never;
  const task = async () => {
    client.looks += 1;
    const plan = { id: 'plan', state: 'working', reason: null, sent_back: 0, failures: 0, plan_rejections: 1 };
    return { ...taskAt(client.looks > 1 ? 'completed' : 'in_progress'), subtasks: [plan] } as unknown as TaskDetail;
  };
  const reasons: (string | null | undefined)[] = [];
  await follow({ ...client, subtask, task }, { onView: ({ subtasks }) => reasons.push(subtasks[0]?.reason) });
  expect(reasons).toEqual([says, says]);
});
