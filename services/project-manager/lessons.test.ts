import { catalog } from '@nexus/shared/messages';
import { expect, test } from 'vitest';
import { check } from '../../test/tools/board.ts';
import { play } from '../../test/tools/play.ts';

const one = [{ id: 'build', title: 'Add a CSV export', goal: 'Write src/export.js' }];
const report = (summary: string) => ({
  ...{ summary, confidence_score: null, deliverables: [], recommendations: [], next_steps: [], files: [] },
  agent_feedback: { clarity_rating: null, complexity_rating: null, additional_questions: [] },
});
const red = {
  verdict: 'failed' as const,
  tested_commit: null,
  says: 'test: 1 test failed',
  log_tail: 'not ok 1 - commas',
};
const told = (game: ReturnType<typeof play>) =>
  game.ledger.notes.map(({ subtask_id, attempt, about }) => `${subtask_id} ${attempt} ${about}`);

test('an attempt leaves a digest for its agent: what was asked, and what came out', () => {
  const game = play(one);
  game.finish('build', { report: report('It writes a file.'), files: ['src/export.js'] });
  expect(told(game)).toEqual(['build 1 ended']);
  const [digest] = game.ledger.notes;
  expect(digest).toMatchObject({ agent_id: 'builder', tags: ['builder', 'code'], importance: 0.3 });
  expect(digest?.content).toBe(
    'Add a CSV export (builder)\nAsked: Write src/export.js\nCame out: finished, and went to the gate. It writes a file.\nFiles: src/export.js',
  );
});

test('work that the gate sends back is a lesson, and what mended it is another, each once', () => {
  const game = play(one);
  game.finish('build', { report: report('First try.') });
  game.verdict('build', { ...red, checks: [check({ name: 'unit tests', state: 'failed' })] });
  game.verdict('build', { ...red, checks: [] });
  game.finish('build', { report: report('Quoted the fields that hold a comma.') });
  game.pass('build');
  game.merge('build');
  const first = ['build 1 ended', 'build 1 returned', 'build 1 sent_back'];
  expect(told(game)).toEqual([...first, 'build 2 ended', 'build 2 mended']);
  const [, returned, sentBack, , mended] = game.ledger.notes;
  expect(returned?.content).toBe(
    'Add a CSV export (builder)\nCame out: sent back by the gate, not taken. test: 1 test failed',
  );
  expect(sentBack).toMatchObject({ tags: ['sent_back', 'builder', 'unit-tests'], importance: 0.6 });
  expect(sentBack?.content).toContain('Work on this did not pass the project’s checks: test: 1 test failed');
  expect(sentBack?.content).toContain('not ok 1 - commas');
  expect(mended?.content).toBe(
    [
      'Add a CSV export (builder)',
      'What went wrong at first: test: 1 test failed',
      'What the attempt that passed says it did: Quoted the fields that hold a comma.',
    ].join('\n'),
  );
});

test('a failure through an agent’s own doing is a lesson; one of its surroundings is not', () => {
  const own = play(one);
  own.fail('build', { code: 'AGENT_TIMED_OUT', outcome: 'timed_out', says: 'It took too long.', log_tail: 'waiting' });
  expect(told(own)).toEqual(['build 1 ended', 'build 1 failed']);
  expect(own.ledger.notes[1]?.content).toContain('An attempt failed with AGENT_TIMED_OUT: It took too long.');
  const around = play(one);
  around.fail('build', { code: 'DISK_FULL', says: 'No room.' });
  expect(told(around)).toEqual(['build 1 ended']);
});

test('a report that came after failures tells what had gone wrong, too', () => {
  const game = play([{ id: 'look', kind: 'report' }]);
  game.fail('look', { code: 'AGENT_STUCK', outcome: 'stuck', says: 'It did the same again and again.' });
  game.finish('look', { report: report('Read the files one by one.') });
  expect(told(game)).toEqual(['look 1 ended', 'look 1 failed', 'look 2 ended', 'look 2 mended']);
  expect(game.ledger.notes.at(-1)?.content).toContain('What went wrong at first: It did the same again and again.');
});

test('what was stopped, lost, late or in conflict teaches nothing', () => {
  const game = play(one);
  game.finish('build', { outcome: 'aborted', commit: null });
  game.resume('build');
  game.finish('build', { outcome: 'lost', code: 'POISON', commit: null });
  expect(told(game)).toEqual([]);
  const other = play(one);
  other.finish('build');
  other.finish('build');
  other.verdict('build', { verdict: 'conflict', tested_commit: null, files: ['a.js'], checks: [] });
  expect(told(other)).toEqual(['build 1 ended']);
});

test('what is noted is always a valid message, whatever was said', () => {
  const game = play([{ id: 'build', title: `${'x'.repeat(199)}\n`, goal: 'y'.repeat(8000) }]);
  game.finish('build', { report: report('z'.repeat(8000)), files: Array.from({ length: 200 }, () => 'f'.repeat(500)) });
  const checks = [check({ name: '-- Ünits & co --', state: 'failed' }), check({ name: '…', state: 'failed' })];
  game.verdict('build', { ...red, says: 's'.repeat(4000), log_tail: 'l'.repeat(4000), checks });
  for (const noted of game.ledger.notes) catalog['memory.noted'].payload.parse(noted);
  expect(game.ledger.notes.at(-1)?.tags).toEqual(['sent_back', 'builder', 'ünits-co']);
});
