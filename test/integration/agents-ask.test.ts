/** What agents ask in their reports reaches whoever decides, whatever runs them: real runtimes, and the real board. */
import { afterAll, afterEach, beforeEach, expect, onTestFinished, test } from 'vitest';
import { claudeProgram } from '../tools/claude.ts';
import { openMessagesApi, use } from '../tools/messages-api/messages-api.ts';
import { openOpenaiApi } from '../tools/openai-api/openai-api.ts';
import { finishedOf, openPaidWorker } from '../tools/paid-worker.ts';
import { play } from '../tools/play.ts';
import { closeTemplates, openRig, type Rig } from '../tools/worker.ts';

let rig: Rig;
beforeEach(async () => {
  rig = await openRig();
});
afterEach(() => rig.close());
afterAll(closeTemplates);

const report = {
  summary: 'Nobody said which format.',
  agent_feedback: { clarity_rating: 1, complexity_rating: 1, additional_questions: ['Which format?'] },
};

const runtimes: Record<string, () => Promise<Record<string, string>>> = {
  openai: async () => {
    const input = { outcome: 'failed', ...report };
    const api = await openOpenaiApi([{ calls: [{ tool: 'finish', input }] }], { key: null });
    onTestFinished(() => api.close());
    return { NEXUS_RUNTIME: 'openai', NEXUS_MODEL_URL: api.url, NEXUS_OPENAI_MODEL: 'test-model' };
  },
  'claude-code': async () => {
    const api = await openMessagesApi();
    onTestFinished(() => api.close());
    return {
      ...{ NEXUS_RUNTIME: 'claude-code', NEXUS_CLAUDE_PROGRAM: claudeProgram(), NEXUS_CLAUDE_LOGIN: 'api_key' },
      ...{ ANTHROPIC_API_KEY: 'sk-ant-of-nobody-0123456789' },
      ANTHROPIC_BASE_URL: api.script('asks', () => use('StructuredOutput', report)),
    };
  },
  command: async () => ({
    NEXUS_RUNTIME: 'command',
    NEXUS_AGENT_COMMAND: `cat > /dev/null; mkdir -p .nexus; echo '${JSON.stringify(report)}' > .nexus/report.json`,
  }),
  scripted: async () => {
    rig.setTask({ scenario: JSON.stringify({ name: 'asks', subtasks: { storage: [[{ report }]] } }) });
    return { NEXUS_RUNTIME: 'scripted', NEXUS_REHEARSAL: 'on' };
  },
};

test.each(Object.keys(runtimes))(
  'an agent of %s that can only ask waits for the answer, and is told it',
  async (name) => {
    const worker = await openPaidWorker(rig, (await runtimes[name]?.()) ?? {});
    const { outcome } = await worker.handle(rig.order());
    const told = finishedOf(outcome);
    expect(told).toMatchObject({ outcome: 'failed', code: name === 'openai' ? 'AGENT_ASKS' : 'AGENT_IDLE' });
    const game = play([{ id: 'storage' }]);
    const { task_id: _other, subtask_id: _same, attempt: _first, agent_id: _who, ...end } = told;
    game.finish('storage', end);
    expect(game.last('escalation.raised')).toMatchObject({ subtask_id: 'storage', questions: ['Which format?'] });
    expect(game.part('storage')).toMatchObject({ state: 'parked', resume_at: null });
    game.answer('storage', 'retry', { says: 'You asked: Which format?\nThe answer: JSON', by: 'NEXUS Prime' });
    expect(game.last('subtask.dispatched', 'storage').hand_over?.says).toContain('The answer: JSON');
  },
);

test('the attempt that gets the answer goes on in the conversation of the CLI that asked', async () => {
  const api = await openMessagesApi();
  onTestFinished(() => api.close());
  const done = { summary: 'It is JSON.' };
  const worker = await openPaidWorker(rig, {
    ...{ NEXUS_RUNTIME: 'claude-code', NEXUS_CLAUDE_PROGRAM: claudeProgram(), NEXUS_CLAUDE_LOGIN: 'api_key' },
    ...{ ANTHROPIC_API_KEY: 'sk-ant-of-nobody-0123456789', NEXUS_HOME: rig.home },
    ANTHROPIC_BASE_URL: api.script('asks', ({ nth }) => use('StructuredOutput', nth === 0 ? report : done)),
  });
  const { outcome } = await worker.handle(rig.order());
  expect(finishedOf(outcome)).toMatchObject({ code: 'AGENT_IDLE' });
  const before = api.asks('asks').length;
  const at = new Date().toISOString();
  const asked = { id: 'q1', subtask_id: 'storage', attempt: 1, agent_id: 'code_developer', text: 'Which format?' };
  const answer = { asked_at: at, waits: 1, answer: 'JSON', answered_by: 'a person', answered_at: at };
  rig.setQuestions([{ ...asked, ...answer }]);
  const { notes } = await worker.handle(rig.order({ attempt: 2 }));
  expect(notes).toContainEqual(expect.stringMatching(/^goes on with the conversation .* \(here\)$/));
  const [told] = api.asks('asks').slice(before);
  const said = JSON.stringify(told?.body.messages);
  expect(said).toContain('Nobody said which format.');
  expect(said).toContain('Answered by a person');
});
