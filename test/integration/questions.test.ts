/** What agents ask: answered by NEXUS Prime or listed for a person, and kept for whoever goes on. */
import { done, type Message } from '@nexus/shared/bus';
import { openCatalog } from '@nexus/shared/catalog';
import type { Model } from '@nexus/shared/model';
import { expect, test } from 'vitest';
import { service } from '../../services/orchestrator/main.ts';
import type { Tools } from '../../services/orchestrator/settle-task.ts';
import { eventually } from '../tools/eventually.ts';
import { refusal, serve } from '../tools/live-gateway.ts';
import { consumeAll } from '../tools/messages.ts';
import { taskHeadOf } from '../tools/task-head.ts';

const catalog = await openCatalog();
const task = 'a-task';

/** A double of the model: what it answers to each question, or what it throws. */
const modelOf = (answers: (string | null)[] | Error): Model => ({
  says: 'a double',
  ask: async () => {
    if (answers instanceof Error) throw answers;
    const value = { answers: answers.map((answer) => ({ answer })) };
    const usage = { input_tokens: 1, output_tokens: 1, cache_read_tokens: 0, cache_write_tokens: 0 };
    return { value: value as never, usage, model: 'double', usd: null, notional: false, tries: 1 };
  },
});

/** A fleet whose task is at work, with a real orchestrator and gateway; the project manager only listens. */
const play = async (model: Model | null = null) => {
  const served = await serve();
  const { fabric, bus } = served;
  const head = taskHeadOf(task, { status: 'in_progress' });
  const request = JSON.stringify({ request: 'Add an export' });
  await fabric.redis.hset(bus.keys.task(task), {
    revision: 1,
    status: head.status,
    head: JSON.stringify(head),
    request,
  });
  const planning = { model, timeoutMs: 5000, tries: { retries: 3, otherAgents: 1 } };
  const tools: Tools = { catalog, patience: { plansMax: 1, personTimeoutMs: 60_000 }, planning, retentionMs: 60_000 };
  const orchestrator = await fabric.open('orchestrator');
  orchestrator.consume({ mode: 'stream', slots: 4, handlers: service.handlers, tools });
  const answered: Message[] = [];
  consumeAll(await fabric.open('project-manager'), 'project-manager', {
    work: (message) => {
      answered.push(message as Message);
      return done();
    },
  });
  const of = { task_id: task, subtask_id: 'build', attempt: 1, agent_id: 'builder' };
  const ask = (...questions: string[]) =>
    orchestrator.publish({ type: 'questions.asked', payload: { ...of, questions }, thread: task, actor: 'test' });
  const stick = (...questions: string[]) =>
    orchestrator.publish({
      type: 'escalation.raised',
      payload: {
        ...{ ...of, number: 1, attempts: 1, plans: 0, may_plan: false, title: 'Build', goal: 'Build it' },
        ...{ reason: 'AGENT_IDLE', questions },
      },
      thread: task,
      actor: 'test',
    });
  const questions = async () => (await served.client.task(task)).questions ?? [];
  return { ...served, ask, stick, questions, answered };
};

test('a question that nobody waits for is listed with its task, and its answer is kept', async () => {
  const { client, ask, questions } = await play();
  await ask('Which format?', 'Which name?');
  await eventually('both are there', async () => (await questions()).length === 2);
  expect(await questions()).toMatchObject([
    { id: 'q1', subtask_id: 'build', agent_id: 'builder', text: 'Which format?', waits: false, answer: null },
    { id: 'q2', text: 'Which name?' },
  ]);
  expect((await client.tasks({ waiting: true })).tasks.map(({ task_id }) => task_id)).toEqual([task]);
  expect((await client.system()).waiting).toMatchObject([
    { task_id: task, waiting: [], questions: [{ id: 'q1' }, {}] },
  ]);
  expect(await refusal(client.answer(task, { answer: 'JSON' }))).toMatchObject({
    status: 409,
    code: 'QUESTION_UNCLEAR',
  });
  expect(await client.answer(task, { answer: 'JSON', question_id: 'q1' })).toMatchObject({ questions: ['q1'] });
  await eventually('it is kept', async () => (await questions())[0]?.answer === 'JSON');
  expect((await questions())[0]).toMatchObject({ answered_by: 'token:admin' });
  expect(await refusal(client.answer(task, { answer: 'x', question_id: 'q1' }))).toMatchObject({
    code: 'QUESTION_UNKNOWN',
  });
  await client.answer(task, { answer: 'export.json' });
  await eventually('nobody is asked any more', async () => (await client.tasks({ waiting: true })).tasks.length === 0);
});

test('an answer is refused by what is wrong: nothing is open, or the task has ended', async () => {
  const { client, ask, questions } = await play();
  const nothing = await refusal(client.answer(task, { answer: 'JSON' }));
  expect(nothing).toMatchObject({ code: 'QUESTION_UNKNOWN', detail: `Task ${task} has no open question; open: none.` });
  await ask('Which format?');
  await eventually('it is asked', async () => (await questions()).length === 1);
  await client.cancel(task);
  await eventually('it is over', async () => (await client.task(task)).status === 'cancelled');
  expect(await refusal(client.answer(task, { answer: 'JSON' }))).toMatchObject({ status: 409, code: 'TASK_ENDED' });
});

test('a subtask that cannot go on without an answer waits for it, and goes on with it', async () => {
  const { client, stick, answered } = await play();
  await stick('Which format?');
  await eventually('it waits', async () => (await client.task(task)).status === 'waiting_for_person');
  expect((await client.task(task)).questions).toMatchObject([{ id: 'q1', waits: true }]);
  await client.answer(task, { answer: 'JSON' });
  await eventually('it goes on', async () => (await client.task(task)).status === 'in_progress');
  await eventually('the board is told', async () =>
    answered.some(
      ({ payload }) => (payload as { says?: string }).says === 'You asked: Which format?\nThe answer: JSON',
    ),
  );
});

test('NEXUS Prime answers what it knows, and nobody else is asked', async () => {
  const { client, stick, questions, answered } = await play(modelOf(['JSON']));
  await stick('Which format?');
  await eventually('it is answered', async () => (await questions())[0]?.answered_by === 'NEXUS Prime');
  expect((await client.task(task)).status).toBe('in_progress');
  await eventually('the board is told', async () => answered.length > 0);
  expect(answered[0]?.payload).toMatchObject({ answer: 'retry', by: 'NEXUS Prime' });
});

test('what NEXUS Prime cannot know, or a model that fails, leaves the question to a person', async () => {
  const unsure = await play(modelOf([null]));
  await unsure.ask('Which colour do you like?');
  await eventually('it is open', async () => (await unsure.questions()).length === 1);
  expect((await unsure.questions())[0]).toMatchObject({ answer: null });
  const broken = await play(modelOf(new Error('no model')));
  await broken.ask('Which colour do you like?');
  await eventually('it is open', async () => (await broken.questions()).length === 1);
  expect((await broken.questions())[0]).toMatchObject({ answer: null });
});
