import { expect, test } from 'vitest';
import { commitOf, taskFacts } from '../../test/tools/board.ts';
import { type PlayOptions, play } from '../../test/tools/play.ts';

const failing = (options: PlayOptions = {}) => play([{ id: 'build' }, { id: 'other', depends_on: ['build'] }], options);
const waitOf = (game: ReturnType<typeof play>) => game.published.at(-1);

test('what failed waits without a slot, and is tried again from where it stopped', () => {
  const game = failing();
  const wip = commitOf('wip');
  game.finish('build', { outcome: 'failed', code: 'AGENT_CRASHED', says: 'It crashed.', wip, commit: null });
  expect(game.part('build')).toMatchObject({
    ...{ state: 'parked', failures: 1, attempt: 1, step: 'retry', ladder: { retries: 1, agents: 0, plans: 0 } },
    resume_at: '2026-01-02T03:04:06.000Z',
  });
  expect(game.ledger.load.size).toBe(0);
  expect(waitOf(game)).toMatchObject({ type: 'backoff.elapsed', delayMs: 1000, payload: { attempt: 1 } });
  game.resume('build');
  expect(game.part('build')).toMatchObject({ state: 'ready', resume_at: null, attempt: 2 });
  expect(game.ledger.load.get('task')).toBe(1);
  expect(game.last('subtask.dispatched').hand_over).toMatchObject({ why: 'agent_failed', commit: wip });
  game.finish('build', { outcome: 'lost', says: 'Its worker died.', commit: null, log_tail: 'last words' });
  game.resume('build');
  expect(game.last('subtask.dispatched').hand_over).toMatchObject({
    why: 'worker_lost',
    says: 'Its worker died.\nBefore that: It crashed.',
    commit: wip,
    log_tail: 'last words',
  });
  expect(game.ledger.stats.get('agent:builder:failed')).toBe(2);
});

test('the waits double, each a random part of its whole (full jitter)', () => {
  for (const [chance, waits] of [
    [1, [100, 200, 400]],
    [0.25, [25, 50, 100]],
    [0, [0, 0, 0]],
  ] as const) {
    const game = failing({ rules: { retryBaseMs: 100 }, chance: () => chance });
    const seen = waits.map(() => {
      game.finish('build', { outcome: 'failed', code: 'AGENT_FAILED', commit: null });
      const { delayMs } = waitOf(game) ?? {};
      game.resume('build');
      return delayMs;
    });
    expect(seen).toEqual(waits);
  }
});

test('no wait is longer than the setting allows, however often it has doubled', () => {
  const game = failing({ rules: { retries: 100, retryWaitMaxMs: 5000 } });
  for (let times = 0; times < 99; times++) game.fail('build');
  game.finish('build', { outcome: 'failed', code: 'AGENT_FAILED', commit: null });
  expect(waitOf(game)).toMatchObject({ type: 'backoff.elapsed', delayMs: 5000 });
});

test('a wait that is over twice, too late or for another attempt changes nothing', () => {
  const game = failing();
  const elapsed = (attempt: number) =>
    game.tell({ type: 'backoff.elapsed', payload: { task_id: 'task', subtask_id: 'build', attempt } });
  expect(elapsed(1)).toEqual([]);
  game.finish('build', { outcome: 'failed', commit: null });
  expect(elapsed(2)).toEqual([]);
  expect(elapsed(1)).toMatchObject([{ type: 'subtask.dispatched' }]);
  expect(elapsed(1)).toEqual([]);
});

test('after its retries another agent has one attempt, then the orchestrator is asked; all is counted', () => {
  const game = failing();
  for (let attempt = 1; attempt <= 4; attempt++) game.fail('build');
  expect(game.part('build')).toMatchObject({
    ...{ state: 'ready', agent_id: 'tester', step: 'other_agent', tried: { agents: ['builder'] } },
    ladder: { retries: 3, agents: 1, plans: 0 },
  });
  expect(game.last('subtask.dispatched')).toMatchObject({ attempt: 5, agent_id: 'tester' });
  game.fail('build', { agent_id: 'tester', runtime: 'command', says: 'I cannot.' });
  expect(game.part('build')).toMatchObject({ state: 'parked', resume_at: null, attempt: 5, failures: 5 });
  expect(game.head()).toMatchObject({ outcome: null, dispatched: [], attempts: 5 });
  expect(game.last('escalation.raised')).toEqual({
    ...{ task_id: 'task', subtask_id: 'build', number: 1, attempts: 5, plans: 0, may_plan: true },
    ...{ title: 'Title of build', goal: 'Do build', reason: 'AGENT_FAILED: I cannot.' },
  });
  expect(game.part('build').history.map(({ step, agent_id, runtime }) => `${step} ${agent_id} ${runtime}`)).toEqual([
    ...['first builder null', 'retry builder null', 'retry builder null', 'retry builder null'],
    'other_agent tester command',
  ]);
});

test('an agent that failed at it is not chosen again, however many may try', () => {
  const game = failing({ rules: { retries: 0, otherAgentsMax: 9 } });
  for (const agent of ['builder', 'tester', 'documenter']) {
    expect(game.part('build').agent_id).toBe(agent);
    game.fail('build', { agent_id: agent });
  }
  expect(game.part('build')).toMatchObject({ state: 'parked', tried: { agents: ['builder', 'tester', 'documenter'] } });
});

test('where the setting allows none, there is no other agent', () => {
  const game = failing({ rules: { retries: 0, otherAgentsMax: 0 } });
  game.fail('build');
  expect(game.part('build')).toMatchObject({ state: 'parked', agent_id: 'builder', ladder: { agents: 0 } });
});

test('what no retry can mend skips the retries, and another runtime comes before another agent', () => {
  const game = failing({ runtimes: ['claude-code', 'command'], rules: { otherAgentsMax: 2 } });
  game.fail('build', { code: 'ROLE_UNKNOWN', runtime: 'claude-code' });
  expect(game.part('build')).toMatchObject({
    ...{ state: 'ready', agent_id: 'builder', other_runtime: 'command', step: 'other_runtime' },
    ...{ ladder: { retries: 0, agents: 1, plans: 0 }, tried: { runtimes: ['claude-code'] } },
  });
  expect(game.last('subtask.dispatched').runtime).toBe('command');
  game.fail('build', { code: 'ROLE_UNKNOWN', runtime: 'command' });
  expect(game.part('build')).toMatchObject({ agent_id: 'tester', step: 'other_agent' });
  game.fail('build', { code: 'ROLE_UNKNOWN', runtime: 'command' });
  expect(game.last('escalation.raised')).toMatchObject({ may_plan: false, attempts: 3 });
});

const commonToAll = ['NO_RUNTIME', 'RUNTIME_UNKNOWN', 'AGENT_COMMAND_MISSING', 'COMMAND_MISSING', 'POISON'].concat([
  'AGENT_PROGRAM_MISSING',
  'MODEL_KEY_REFUSED',
  'LOGIN_REFUSED',
]);
test.each(commonToAll)(
  '%s, which every agent would meet, is tried with another usable runtime, and else with nothing',
  (code) => {
    const game = failing({ runtimes: ['claude-code', 'command'], rules: { otherAgentsMax: 9 } });
    game.fail('build', { code, runtime: 'claude-code' });
    expect(game.part('build')).toMatchObject({ other_runtime: 'command', agent_id: 'builder' });
    game.fail('build', { code, runtime: 'command' });
    expect(game.part('build')).toMatchObject({ state: 'parked', agent_id: 'builder', attempt: 2 });
    expect(game.last('escalation.raised')).toMatchObject({ may_plan: false, attempts: 2 });
    const alone = failing({ rules: { otherAgentsMax: 9 } });
    alone.fail('build', { code });
    expect(alone.last('escalation.raised')).toMatchObject({ may_plan: false, attempts: 1 });
  },
);

test('a set-up that fails is tried again, and then is a person’s: no agent and no runtime mends it', () => {
  const game = failing({ runtimes: ['claude-code', 'command'], rules: { retries: 1, otherAgentsMax: 9 } });
  game.fail('build', { code: 'WORKSPACE_SETUP', runtime: 'command' });
  expect(game.part('build')).toMatchObject({ step: 'retry', attempt: 2 });
  game.fail('build', { code: 'WORKSPACE_SETUP', runtime: 'command' });
  expect(game.part('build')).toMatchObject({ state: 'parked', agent_id: 'builder', other_runtime: null });
  expect(game.last('escalation.raised')).toMatchObject({ may_plan: false, attempts: 2 });
});

test('who goes on with another runtime is told of, and why: another account may pay', () => {
  const game = failing({ runtimes: ['claude-code', 'openai'], rules: { otherAgentsMax: 1 } });
  game.fail('build', { code: 'MODEL_KEY_REFUSED', runtime: 'openai', says: 'The key is refused.' });
  expect(game.part('build')).toMatchObject({ other_runtime: 'claude-code' });
  expect(game.head().warnings).toEqual([
    '"build" goes on with the runtime "claude-code", on its account, since the one before failed: ' +
      'MODEL_KEY_REFUSED: The key is refused.',
  ]);
});

test('an account without credit is a person’s at once: no retry, agent, runtime or plan tops it up', () => {
  const game = failing({ runtimes: ['claude-code', 'command'], rules: { retries: 3, otherAgentsMax: 9 } });
  game.fail('build', { code: 'CREDIT_SPENT', runtime: 'claude-code' });
  expect(game.part('build')).toMatchObject({ state: 'parked', resume_at: null, other_runtime: null });
  expect(game.last('escalation.raised')).toMatchObject({ may_plan: false, attempts: 1 });
  expect(game.ledger.history.size).toBe(0);
});

test('where no other agent can do it, another usable runtime is tried, unless somebody asked for one', () => {
  const options = { runtimes: ['claude-code', 'command'], rules: { retries: 0 } };
  const report = { id: 'look', kind: 'report', role: 'analyst' } as const;
  const free = play([report], options);
  free.fail('look', { runtime: 'claude-code' });
  expect(free.part('look')).toMatchObject({ state: 'ready', other_runtime: 'command' });
  const planned = play([{ ...report, runtime: 'claude-code' }], options);
  planned.fail('look', { runtime: 'claude-code' });
  expect(planned.part('look')).toMatchObject({ state: 'parked', other_runtime: null });
  const asked = play([report], options);
  asked.ledger.tasks.set('task', { ...taskFacts, runtimeAsked: true });
  asked.fail('look', { runtime: 'claude-code' });
  expect(asked.part('look')).toMatchObject({ state: 'parked', other_runtime: null });
});

test('what is wrong with the request itself fails at once: it is the same in every attempt', () => {
  const game = failing();
  game.finish('build', { outcome: 'failed', code: 'SCENARIO_INVALID', says: 'Line 3: no.', commit: null });
  expect(game.head()).toMatchObject({ outcome: 'failed', attempts: 1, counts: { failed: 1, cancelled: 1 } });
  const reason = 'SUBTASK_FAILED: Subtask build failed after 1 attempt(s): SCENARIO_INVALID: Line 3: no.';
  expect(game.last('board.completed')).toMatchObject({ outcome: 'failed', reason });
});

test('while one is parked the others go on, also one after the other', () => {
  const game = play([{ id: 'one' }, { id: 'two' }], { mode: 'sequential' });
  game.finish('one', { outcome: 'failed', commit: null });
  expect(game.head().dispatched).toEqual(['two']);
  expect(game.resume('one')).toEqual([]);
  game.bringIn('two');
  expect(game.last('subtask.dispatched')).toMatchObject({ subtask_id: 'one', attempt: 2 });
});
