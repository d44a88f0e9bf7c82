import { ClientProblem, type FleetEvent, type TaskDetail } from '@nexus/shared/client';
import { expect, test } from 'vitest';
import { type Following, followTask } from './follow.ts';

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
