/** Whose definition an attempt works by: the one that it carries, and those that a plan takes along. */
import type { Message, Outcome } from '@nexus/shared/bus';
import { readEvidence } from '@nexus/shared/git';
import { catalog as kinds, type PayloadOf } from '@nexus/shared/messages';
import { afterAll, afterEach, expect, test } from 'vitest';
import { closeTemplates, openRig, type Rig } from '../../test/tools/worker.ts';
import type { Order } from './attempt.ts';
import { onSubtaskDispatched } from './on-subtask-dispatched.ts';

let rig: Rig;
afterEach(() => rig.close());
afterAll(closeTemplates);

const clockmaker = '---\nname: Clockmaker\ndescription: Mends clocks.\n---\n\nYou mend clocks.\n';

const run = async (command: string, changes: Partial<Order>, settings: Record<string, string> = {}) => {
  const delivery = rig.tools({ NEXUS_AGENT_COMMAND: command, ...settings });
  const message = { payload: rig.order(changes) } as Message<'subtask.dispatched'>;
  const outcome: Outcome = await onSubtaskDispatched(message, delivery.tools);
  const published = outcome.is === 'done' ? outcome.publish : [];
  const finished = published.find(({ type }) => type === 'attempt.finished');
  return kinds['attempt.finished'].payload.parse(finished?.payload);
};
const promptOf = ({ evidence }: PayloadOf<'attempt.finished'>) =>
  readEvidence({ hub: rig.hub, ref: evidence?.ref ?? '', path: 'prompt.md' });

test('an attempt works by the definition that it carries, though nobody knows its agent any more', async () => {
  rig = await openRig();
  const agent = { file: 'fleet:clockmaker', source: clockmaker };
  const finished = await run('echo a > a.txt', { agent_id: 'clockmaker', role: 'clockmaker', agent });
  expect(finished).toMatchObject({ outcome: 'finished', agent_id: 'clockmaker' });
  expect(await promptOf(finished)).toMatch(/^You are Clockmaker\.\n\nYou mend clocks\./);
  expect(rig.git('log', '-1', '--format=%an', finished.commit ?? '')).toBe('Clockmaker');
});

test('a carried definition that this version cannot read is looked for by its id', async () => {
  rig = await openRig();
  const agent = { file: 'fleet:code_developer', source: clockmaker.replace('name:', 'from_the_future:') };
  expect(await promptOf(await run('echo a > a.txt', { agent }))).toMatch(/^You are Code\./);
});

const plan = { subtasks: [{ id: 'mend', title: 'Mend', role: 'clockmaker', goal: 'Mend it.' }] };
const planning = `mkdir -p .nexus; echo '${JSON.stringify(plan)}' > .nexus/plan.json`;
const planner: Partial<Order> = { kind: 'report', grows: true };

test('agents of a repository are for plans only where a setting allows it', async () => {
  rig = await openRig({ 'README.md': 'A project.\n', '.claude/agents/clockmaker.md': clockmaker });
  const refused = await run(planning, planner);
  expect(await promptOf(refused)).not.toContain('Mends clocks.');
  expect(refused.plan).toEqual({ file: expect.not.objectContaining({ agents: expect.anything() }) });
  const allowed = await run(planning, { ...planner, attempt: 2 }, { NEXUS_REPOSITORY_AGENTS: 'yes' });
  expect(await promptOf(allowed)).toContain('clockmaker: Mends clocks.');
  expect(allowed.plan).toMatchObject({ file: { agents: [{ name: 'Clockmaker', prompt: 'You mend clocks.' }] } });
});

test('what was answered meanwhile stands in the prompt of the next attempt', async () => {
  rig = await openRig();
  const key = '{test}:task:a-task';
  const task = rig.ledger.get(key) ?? {};
  const at = '2026-01-01T00:00:00.000Z';
  const asked = { id: 'q1', subtask_id: 'storage', attempt: 1, agent_id: 'code_developer', text: 'Which format?' };
  const question = { ...asked, asked_at: at, waits: null, answer: 'JSON Lines', answered_by: 'x', answered_at: at };
  const head = JSON.stringify({ ...JSON.parse(task.head ?? '{}'), questions: [question] });
  rig.ledger.set(key, { ...task, head });
  const prompt = await promptOf(await run('echo a > a.txt', { attempt: 2 }));
  expect(prompt).toMatch(/Asked here:[\s\S]*Which format\?[\s\S]*Answered by a person:[\s\S]*JSON Lines/);
});
