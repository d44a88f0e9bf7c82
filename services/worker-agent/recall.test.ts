import type { Memories, Memory, Question } from '@nexus/shared/memory';
import { projectScope } from '@nexus/shared/memory';
import { silentLog } from '@nexus/shared/telemetry';
import { expect, test } from 'vitest';
import { type RecallTools, recallFor } from './recall.ts';

const order = {
  task_id: 'new-task',
  subtask_id: 'build',
  title: 'CSV export',
  goal: 'Write it.',
  acceptance: ['Commas'],
  files: ['a.js'],
};
const agent = { agent_id: 'builder', memory: null };
const request = { request: 'Let people export\nSoon.' };
const at = '2026-01-02T03:04:05.000Z';

const memory = (id: string, more: Partial<Memory> & { task?: string } = {}): Memory => {
  const { task = 'old-task', ...rest } = more;
  const sources = [{ kind: 'lesson' as const, by: 'builder', task_id: task, subtask_id: 'build', attempt: 2, at }];
  return {
    ...{ id, scope: 'shared', content: id, tags: [], importance: 0.5, kind: 'lesson', sources, times: 1 },
    ...{ created_at: at, last_used_at: null, uses: 0, ...rest },
  };
};

const open = (stored: Memory[], config: Partial<RecallTools['config']> = {}) => {
  const asked: Question[] = [];
  const used: string[] = [];
  const memories = {
    recall: async (question: Question) => {
      asked.push(question);
      return stored.filter(question.where ?? (() => true)).map((one) => ({ memory: one }));
    },
    used: async (ids: string[]) => void used.push(...ids),
  } as unknown as Memories;
  const settings = { memoryRecalled: 5, memoryPromptChars: 1000, memoryFit: 0.15, ...config };
  return { tools: { memories, config: settings, log: silentLog() }, asked, used };
};

test('an attempt is told what its agent, its project and all know of its title, goal and files', async () => {
  const { tools, asked, used } = open([memory('one')]);
  const recalled = await recallFor(order, agent, { ...request, repository: '/repos/shop' }, tools);
  expect(recalled).toEqual([
    { id: 'one', text: 'one', sources: ['lesson of builder, task old-task, subtask build, attempt 2, 2026-01-02'] },
  ]);
  expect(asked).toMatchObject([
    {
      ...{ scopes: ['agent:builder', projectScope('/repos/shop'), 'shared'], about: 'Let people export CSV export' },
      ...{ text: 'Let people export\nSoon.\nWrite it.\nCommas\na.js', limit: 5, fit: 0.15 },
    },
  ]);
  expect(used).toEqual(['one']);
});

test('what the hand-over tells already is not told twice', async () => {
  const { tools } = open([memory('own', { task: 'new-task' }), memory('other')]);
  expect((await recallFor(order, agent, request, tools)).map(({ id }) => id)).toEqual(['other']);
});

test('an agent that keeps no conversations is not told of them', async () => {
  const { tools } = open([memory('digest', { kind: 'digest' }), memory('lesson')]);
  const forgetful = {
    ...agent,
    memory: { conversation_retention: 'none' as const, learning_patterns: [], context_preservation: [] },
  };
  expect((await recallFor(order, forgetful, request, tools)).map(({ id }) => id)).toEqual(['lesson']);
});

test('memories never take more room in a prompt than they may, and only what was told counts as used', async () => {
  const long = memory('long', { content: 'x'.repeat(90) });
  const { tools, used } = open([memory('first'), long, memory('last')], { memoryPromptChars: 20 });
  expect((await recallFor(order, agent, request, tools)).map(({ id }) => id)).toEqual(['first', 'last']);
  expect(used).toEqual(['first', 'last']);
});

test('an attempt goes on without memories where there are none to be had', async () => {
  const { tools } = open([memory('one')], { memoryRecalled: 0 });
  expect(await recallFor(order, agent, request, tools)).toEqual([]);
  const { memories: _, ...none } = tools;
  expect(await recallFor(order, agent, request, none)).toEqual([]);
  const failing = (message: string) => ({
    ...open([]).tools,
    memories: { recall: () => Promise.reject(new Error(message)) } as unknown as Memories,
  });
  expect(await recallFor(order, agent, request, failing('Connection is closed.'))).toEqual([]);
  await expect(recallFor(order, agent, request, failing('WRONGTYPE'))).rejects.toThrow('WRONGTYPE');
});

test('what was found is told also where its use cannot be booked, as at the memory limit of Redis', async () => {
  const { tools } = open([memory('one')]);
  const full = { ...tools.memories, used: () => Promise.reject(new Error('OOM command not allowed')) };
  expect(await recallFor(order, agent, request, { ...tools, memories: full })).toMatchObject([{ id: 'one' }]);
});
