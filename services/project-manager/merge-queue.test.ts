import { expect, test } from 'vitest';
import { baseCommit, check, commitOf, taskFacts } from '../../test/tools/board.ts';
import { play } from '../../test/tools/play.ts';

const wide = (count: number) => Array.from({ length: count }, (_, at) => ({ id: `n${at}` }));

test('one candidate at a time is at the gate, in their order, each on the head before it (rule 25)', () => {
  const game = play(wide(3));
  for (const id of ['n1', 'n2', 'n0']) game.finish(id);
  expect(game.head()).toMatchObject({ at_gate: 'n1', queue: ['n2', 'n0'] });
  expect(game.said('candidate.submitted')).toEqual(['n1-1']);
  game.pass('n1');
  expect(game.said('candidate.submitted')).toEqual(['n1-1']);
  expect(game.said('merge.requested')).toEqual(['n1-1']);
  game.merge('n1');
  expect(game.said('candidate.submitted')).toEqual(['n1-1', 'n2-1']);
  expect(game.last('candidate.submitted')).toMatchObject({
    integration: commitOf('tested n1'),
    commit: commitOf('n21'),
  });
});

test('a candidate carries what the task asked to be checked, and what the checks of the head before said', () => {
  const game = play(wide(2));
  game.finish('n0');
  expect(game.last('candidate.submitted')).toMatchObject({
    setup: taskFacts.setup,
    checks: taskFacts.checks,
    before: null,
    integration: baseCommit,
  });
  game.pass('n0', { before: [check({ state: 'failed' })], checks: [check({ log_tail: 'long' })], gate_runs: 2 });
  expect(game.head()).toMatchObject({ gate_runs: 2, before: [{ state: 'failed' }] });
  game.merge('n0');
  expect(game.head()).toMatchObject({ proven: true, merged: 1, integration: commitOf('tested n0') });
  game.finish('n1');
  expect(game.last('candidate.submitted').before).toEqual([check({ log_tail: '' })]);
});

test('where nothing was declared that could fail, the merge is not proven', () => {
  const game = play(wide(1));
  game.finish('n0');
  game.verdict('n0', { verdict: 'unproven', tested_commit: commitOf('t'), checks: [check({ state: 'skipped' })] });
  game.merge('n0', { commit: commitOf('t') });
  expect(game.head()).toMatchObject({ outcome: 'completed', proven: false });
});

test('a failed check sends the commit back to its own subtask, which is told what failed and what did not', () => {
  const game = play(wide(2));
  game.finish('n0');
  game.finish('n1');
  const mine = check({ name: 'test', state: 'failed', exit_code: 1, failing: ['adds two', 'adds three'] });
  const old = check({ name: 'lint', state: 'failed', failing_before: true });
  game.verdict('n0', { verdict: 'failed', checks: [mine, old], says: 'It is red: adds two.', log_tail: 'not ok 1' });
  expect(game.part('n0')).toMatchObject({ state: 'ready', sent_back: 1, failures: 0, attempt: 2 });
  expect(game.last('subtask.dispatched', 'n0').hand_over).toEqual({
    why: 'gate_failed',
    says: 'It is red: adds two.',
    commit: commitOf('n01'),
    log_tail: 'not ok 1',
    files: [],
  });
  expect(game.head()).toMatchObject({ at_gate: 'n1', queue: [], sent_back: 1 });
});

test('the gate is told which candidate is the last, behind which only reports follow', () => {
  const review = { id: 'review', kind: 'report' as const, depends_on: ['one'] };
  const game = play([
    { id: 'one' },
    { id: 'two' },
    review,
    { id: 'sum', kind: 'report' as const, depends_on: ['review'] },
  ]);
  game.finish('two');
  expect(game.last('candidate.submitted', 'two').last).toBe(false);
  game.pass('two');
  game.merge('two');
  game.finish('one');
  expect(game.last('candidate.submitted', 'one').last).toBe(true);
});

test('on a wide board nobody looks for the last before few are left', () => {
  const game = play(wide(20));
  game.bringIn('n0');
  expect(game.last('candidate.submitted', 'n0').last).toBe(false);
});

test('a gate that says nothing is quoted by its checks', () => {
  const game = play(wide(1));
  game.finish('n0');
  const mine = check({ name: 'test', state: 'failed', exit_code: 1, failing: ['adds two', 'adds three'] });
  game.verdict('n0', { verdict: 'failed', checks: [mine], says: '' });
  const { hand_over } = game.last('subtask.dispatched', 'n0');
  expect(hand_over?.says).toBe('Failed: test (`npm test`, exit code 1), failing: adds two, adds three.');
});

test('an agent has done what was merged or reported, not what was sent back', () => {
  const game = play(wide(1));
  game.finish('n0');
  game.verdict('n0', { verdict: 'failed', checks: [check({ state: 'failed' })], says: 'Red.' });
  expect(game.ledger.stats.get('agent:builder:completed')).toBeUndefined();
  game.finish('n0');
  game.verdict('n0', { tested_commit: commitOf('tested') });
  game.merge('n0', { commit: commitOf('tested') });
  expect(game.ledger.stats.get('agent:builder:completed')).toBe(1);
});

test('a conflict sends back with the files in which it is', () => {
  const game = play(wide(1));
  game.finish('n0');
  game.verdict('n0', { verdict: 'conflict', files: ['a.js', 'b.js'] });
  expect(game.last('subtask.dispatched', 'n0').hand_over).toMatchObject({
    why: 'conflict',
    says: expect.stringContaining('a.js, b.js'),
    commit: commitOf('n01'),
    files: ['a.js', 'b.js'],
  });
});

test('a subtask that is sent back too often is given to another agent, and then escalated', () => {
  const game = play(wide(2), { rules: { sentBackMax: 2 } });
  const sendBack = (times: number) => {
    game.finish('n0');
    game.verdict('n0', { verdict: 'failed', says: `Red for the ${times}. time.` });
  };
  for (const times of [1, 2, 3]) sendBack(times);
  expect(game.part('n0')).toMatchObject({ state: 'ready', agent_id: 'tester', step: 'other_agent', sent_back: 3 });
  expect(game.last('subtask.dispatched', 'n0').hand_over).toMatchObject({
    why: 'gate_failed',
    says: 'Red for the 3. time.',
  });
  sendBack(4);
  expect(game.part('n0')).toMatchObject({ state: 'parked', resume_at: null, ladder: { retries: 0, agents: 1 } });
  const reason = 'It was sent back 3 times, and again: Red for the 4. time.';
  expect(game.last('escalation.raised')).toMatchObject({ subtask_id: 'n0', attempts: 4, may_plan: true, reason });
  // The gate is free for the others meanwhile.
  game.bringIn('n1');
  expect(game.state('n1')).toBe('merged');
});

test('a broken gate runs again with a wait; then a person is asked, for no agent is to blame: GATE_BROKEN', () => {
  const game = play(wide(2), { rules: { retryBaseMs: 10 } });
  game.finish('n0');
  game.verdict('n0', { verdict: 'broken', says: 'npm ci: no network' });
  expect(game.published.at(-1)).toMatchObject({ type: 'candidate.submitted', delayMs: 10 });
  game.verdict('n0', { verdict: 'broken', says: 'npm ci: no network' });
  expect(game.published.at(-1)).toMatchObject({ type: 'candidate.submitted', delayMs: 20 });
  game.verdict('n0', { verdict: 'broken', says: 'npm ci: no network' });
  const reason = 'GATE_BROKEN: The gate itself could not run: npm ci: no network';
  expect(game.last('escalation.raised')).toMatchObject({ subtask_id: 'n0', may_plan: false, reason });
  expect(game.part('n0')).toMatchObject({ state: 'parked', agent_id: 'builder', failures: 0, sent_back: 0 });
});

test('once a person has mended the gate, the same commit is tested again, with no further attempt', () => {
  const game = play(wide(1));
  game.finish('n0');
  const breakDown = () => {
    for (let times = 0; times < 3; times++) game.verdict('n0', { verdict: 'broken', says: 'no network' });
  };
  breakDown();
  game.answer('n0', 'person');
  game.answer('n0', 'retry');
  expect(game.last('candidate.submitted')).toMatchObject({ subtask_id: 'n0', attempt: 1, commit: commitOf('n01') });
  breakDown();
  expect(game.part('n0')).toMatchObject({ state: 'parked', escalations: 2, attempt: 1 });
  game.answer('n0', 'retry');
  game.pass('n0');
  game.merge('n0');
  expect(game.head()).toMatchObject({ outcome: 'completed', attempts: 1 });
});

test('where integration has moved, the candidate is tested again on the new head, with nothing known of it', () => {
  const game = play(wide(1));
  game.finish('n0');
  game.pass('n0', { before: [check()] });
  game.merge('n0', { outcome: 'moved', commit: commitOf('elsewhere') });
  expect(game.state('n0')).toBe('checking');
  expect(game.last('candidate.submitted')).toMatchObject({ integration: commitOf('elsewhere'), before: null });
  const before = game.ledger.boards.get('task');
  expect(game.pass('n0', { base: baseCommit })).toEqual([]);
  expect(game.ledger.boards.get('task')).toBe(before);
  game.pass('n0');
  game.merge('n0');
  expect(game.head().outcome).toBe('completed');
});

test('a merge that is refused though nothing moved is asked for again, a bounded number of times', () => {
  const game = play(wide(1));
  game.finish('n0');
  game.pass('n0');
  const refuse = () => game.merge('n0', { outcome: 'moved', commit: baseCommit, says: 'a lock' });
  expect(refuse()).toMatchObject([{ type: 'merge.requested', delayMs: 1000 }]);
  expect(game.last('merge.requested')).toMatchObject({ base: baseCommit, tested_commit: commitOf('tested n0') });
  refuse();
  refuse();
  expect(game.last('escalation.raised').reason).toMatch(/GATE_BROKEN.*a lock/);
});

test('git is the truth of merges: one that succeeded counts while its candidate is tested once more', () => {
  const game = play(wide(1));
  game.finish('n0');
  game.pass('n0');
  game.merge('n0', { outcome: 'moved', commit: commitOf('elsewhere') });
  game.merge('n0');
  expect(game.head()).toMatchObject({ outcome: 'completed', integration: commitOf('tested n0') });
});

test('a merge that cannot be made waits for a person', () => {
  const game = play(wide(1));
  game.finish('n0');
  game.pass('n0');
  game.merge('n0', { outcome: 'failed', commit: null, says: 'The hub is gone.' });
  expect(game.head()).toMatchObject({ outcome: null, at_gate: null, counts: { parked: 1 } });
  const reason = 'It could not be merged: The hub is gone.';
  expect(game.last('escalation.raised')).toMatchObject({ may_plan: false, reason });
});

test('alarms of the gate stand in the history of the subtask', () => {
  const game = play(wide(1));
  game.finish('n0');
  game.pass('n0', { says: 'All green.', alarms: ['Fewer tests than before: 3 of 5.'] });
  expect(game.part('n0').history.at(-1)).toMatchObject({
    outcome: 'gate_passed',
    says: 'All green. Fewer tests than before: 3 of 5.',
  });
});
