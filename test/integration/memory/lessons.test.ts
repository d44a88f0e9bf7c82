/** What the project manager keeps of attempts and verdicts, on a real fabric: where it goes, and that it goes once. */

import type { HandlerTools } from '@nexus/shared/bus';
import { done, type Message } from '@nexus/shared/bus';
import { projectScope } from '@nexus/shared/memory';
import type { PayloadInput } from '@nexus/shared/messages';
import { silentLog } from '@nexus/shared/telemetry';
import { expect, test } from 'vitest';
import { onDecayDue } from '../../../services/project-manager/on-decay-due.ts';
import { type MemoryTools, onMemoryNoted } from '../../../services/project-manager/on-memory-noted.ts';
import type { Tools } from '../../../services/project-manager/transition.ts';
import { memoriesOn } from '../../tools/memories.ts';
import { testFabric } from '../../tools/redis.ts';
import { taskHeadOf } from '../../tools/task-head.ts';

type Noted = PayloadInput<'memory.noted'>;
const noted = (more: Partial<Noted> = {}): Message<'memory.noted'> =>
  ({
    payload: {
      ...{ task_id: 'a-task', subtask_id: 'build', attempt: 1, agent_id: 'builder', about: 'sent_back' },
      ...{ content: 'Add an export (builder)\nCommas were not quoted.', tags: ['tests'], importance: 0.6, ...more },
    },
  }) as Message<'memory.noted'>;

const open = async () => {
  const fabric = testFabric();
  const bus = await fabric.open('project-manager');
  const memories = memoriesOn(bus);
  const { store, keys } = bus;
  const tools = { store, keys, log: silentLog(), now: () => Date.now(), memories } as HandlerTools &
    Tools &
    MemoryTools;
  const putTask = (repository: string | null) => {
    const request = JSON.stringify({ request: 'Build it', ...(repository ? { repository } : {}) });
    return fabric.redis.hset(keys.task('a-task'), {
      revision: '1',
      head: JSON.stringify(taskHeadOf('a-task')),
      request,
    });
  };
  return { fabric, memories, tools, putTask };
};

test('a lesson belongs to its project, a digest to its agent, each kept once however often it is told', async () => {
  const { memories, tools, putTask } = await open();
  await putTask('/repos/shop');
  for (let time = 0; time < 2; time += 1) {
    expect(await onMemoryNoted(noted(), tools)).toEqual(done());
    await onMemoryNoted(noted({ about: 'ended', content: 'Add an export\nCame out: finished.' }), tools);
  }
  expect(await memories.scopes()).toEqual([
    ...[
      { scope: projectScope('/repos/shop'), count: 1 },
      { scope: 'agent:builder', count: 1 },
    ],
  ]);
  const {
    memories: [lesson],
  } = await memories.list({ scope: projectScope('/repos/shop'), limit: 1, offset: 0 });
  expect(lesson?.content).toBe('Make it: Add an export (builder)\nCommas were not quoted.');
  expect(lesson).toMatchObject({ kind: 'lesson', importance: 0.6, tags: ['tests'], times: 1 });
  expect(lesson?.sources).toMatchObject([{ by: 'builder', task_id: 'a-task', subtask_id: 'build', attempt: 1 }]);
});

test('a lesson without a project, or of a task that is gone, belongs to its agent', async () => {
  const { memories, tools, putTask } = await open();
  await onMemoryNoted(noted(), tools);
  await putTask(null);
  await onMemoryNoted(noted({ attempt: 2, content: 'Something else altogether' }), tools);
  expect(await memories.scopes()).toEqual([{ scope: 'agent:builder', count: 2 }]);
});

test('at the memory limit of Redis a memory is let go, and its message with it', async () => {
  const { memories, tools, putTask, fabric } = await open();
  await putTask('/repos/shop');
  const full = {
    ...tools,
    memories: { ...memories, remember: () => Promise.reject(new Error('OOM command not allowed')) },
  };
  expect(await onMemoryNoted(noted(), full)).toEqual(done());
  const away = {
    ...tools,
    memories: { ...memories, remember: () => Promise.reject(new Error('Connection is closed.')) },
  };
  await expect(onMemoryNoted(noted(), away)).rejects.toThrow('Connection is closed.');
  expect(await fabric.redis.keys(`${fabric.config.prefix}:memory:*`)).toEqual([]);
});

test('the schedule forgets what has lost its worth', async () => {
  const { memories, tools } = await open();
  await onMemoryNoted(noted({ importance: 0.001 }), tools);
  expect(await onDecayDue({} as Message<'decay.due'>, tools)).toEqual(done());
  expect(await memories.scopes()).toEqual([]);
});
