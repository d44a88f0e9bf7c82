/** The report of a task, on real repositories. */

import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { commitEvidence, readEvidence } from '@nexus/shared/git';
import { expect, test } from 'vitest';
import {
  apply,
  branch,
  complete,
  end,
  git,
  hashes,
  home,
  hub,
  keys,
  message,
  names,
  personal,
  prepare,
  record,
  release,
  releasing,
  reporting,
  reportOn,
  subtask,
  task,
  tools,
  work,
} from '../../test/tools/finalizer.ts';
import { headAt as at } from '../../test/tools/task-head.ts';
import { onHubExpired } from './on-hub-expired.ts';
import { onReleaseRequested } from './on-release-requested.ts';

test('the report tells who did what, what proves it, what does not, and what it cost', async () => {
  const base = (await prepare()).base_commit ?? '';
  const commit = await work({ 'a.txt': 'a' }, base, names.integration);
  const log = { ref: names.evidence('gate-build-2'), path: 'run/tests.log' };
  const alarms = { alarms: ['"tests" ran 2 tests, 3 before.'] };
  await commitEvidence({ hub, ref: log.ref, files: { 'run/verdict.json': JSON.stringify(alarms) }, message: 'gate' });
  const check = {
    ...{ name: 'tests', state: 'passed' as const, command: 'npm test', exit_code: 0, duration_ms: 1500, failing: [] },
    ...{ tests: { total: 3, passed: 3, failed: 0, skipped: 0 }, failing_before: false, why: '', log_tail: 'x', log },
  };
  const skipped = { ...check, name: 'lint', state: 'skipped' as const, command: null, why: 'Not declared.', log: null };
  const entry = {
    ...{ attempt: 1, agent_id: 'builder', instance_id: null, outcome: 'gate_failed', code: null, says: 'adds is red' },
    ...{ commit: null, began_at: null, ended_at: at, duration_ms: 2000, cost: { usd: null, tokens: null } },
  };
  record(base, subtask({ checks: [check, skipped], history: [entry] }));
  await release(commit, base);
  const { markdown = '', json = '' } = hashes.get(keys.report(task)) ?? {};
  for (const words of [
    ...['Try | it.', 'builder', 'attempt 1 by builder: gate_failed. adds is red', '`npm test`', '3 of 3 passed'],
    ...[
      'ran 2 tests, 3 before',
      'the check "lint" was skipped',
      'It was dirty.',
      'Cost: unknown; tokens: 1200',
      '1 min 30 s',
    ],
    ...['Undo it', `git -C ${home}`],
  ]) {
    expect(markdown).toContain(words);
  }
  expect(JSON.parse(json)).toMatchObject({ task_id: task, outcome: 'completed', numbers: { sent_back: 1 } });
  expect(await readEvidence({ hub, ref: names.evidence('report'), path: 'report.md' })).toBe(markdown);
});

test('what the gate found unproven is told as such, and not as passed', async () => {
  const base = (await prepare()).base_commit ?? '';
  const commit = await work({ 'a.txt': 'a' }, base, names.integration);
  const line = {
    ...{ attempt: 1, agent_id: 'builder', instance_id: null, code: null, says: 'Nothing that could fail has run.' },
    ...{ commit: null, began_at: null, ended_at: at, duration_ms: 0, cost: { usd: null, tokens: null } },
  };
  record(base, subtask({ history: [{ ...line, outcome: 'gate_unproven' }] }));
  await release(commit, base);
  const { markdown = '', json = '' } = hashes.get(keys.report(task)) ?? {};
  expect(markdown).toContain('| builder | merged, **unproven** |');
  expect(JSON.parse(json)).toMatchObject({
    subtasks: [{ state: 'merged', verdict: 'unproven' }],
    not_proven: ['build: merged without a check that passed.'],
  });
});

test('a task whose result is a report gets no branch, and its documents are in the report', async () => {
  const base = (await prepare()).base_commit ?? '';
  const place = { ref: names.evidence('look-1'), path: 'report.md' };
  await commitEvidence({
    hub,
    ref: place.ref,
    files: { 'report.md': '### Findings\n\nAll is well.' },
    message: 'look',
  });
  record(base, subtask({ id: 'look', kind: 'report', state: 'reported', evidence: [place] }));
  const { result } = await release(base, base);
  expect(result).toMatchObject({ branch: null, repository: null, look: null, undo: null, start: null });
  expect(existsSync(join(home, 'repositories'))).toBe(false);
  expect(hashes.get(keys.report(task))?.markdown).toContain('All is well.');
});

test('a task that failed is not pushed; its report tells why, what is there, and how to get it', async () => {
  const folder = await personal();
  const base = (await prepare(folder)).base_commit ?? '';
  const merged = await work({ 'a.txt': 'a' }, base, names.integration);
  const stuck = await work({ 'b.txt': 'b' }, base, names.attempt('store', 1, 'token'));
  const parts = [
    subtask({ commit: merged, merged_commit: merged }),
    subtask({ id: 'store', title: 'Store it', state: 'failed', commit: stuck, reason: 'The gate refused it 3 times.' }),
  ];
  record(base, ...parts);
  end('failed', { repository: folder });
  const { markdown, json } = await reportOn('failed', 'GATE_BROKEN: The gate broke.', merged, base);
  expect(json).toMatchObject({ outcome: 'failed', result: null, saved: { commit: merged } });
  for (const words of [
    '**failed**',
    'GATE_BROKEN: The gate broke.',
    'Store it (store): The gate refused it',
    'nexus dlq ls',
  ]) {
    expect(markdown).toContain(words);
  }
  expect(git(folder, 'branch', '--list', 'nexus/*')).toBe('');
  execFileSync('sh', ['-c', json.saved.fetch]);
  expect(execFileSync('sh', ['-c', json.saved.look], { encoding: 'utf8' })).toContain('a.txt');
  expect(git(folder, 'rev-parse', branch)).toBe(merged);
  execFileSync('sh', ['-c', json.saved.unmerged[0].fetch], { stdio: 'pipe' });
  expect(git(folder, 'rev-parse', 'FETCH_HEAD')).toBe(stuck);
  expect(await readEvidence({ hub, ref: names.evidence('report'), path: 'report.md' })).toBe(markdown);
});

test.each([true, false])('what was pushed before its task was cancelled is told, and how to undo it', async (named) => {
  const folder = named ? await personal() : null;
  const base = (await prepare(folder)).base_commit ?? '';
  const commit = await work({ 'a.txt': 'a' }, base, names.integration);
  record(base, subtask({ commit, merged_commit: commit }));
  complete();
  const { payload } = releasing(commit, base, folder);
  // The push went through; its delivery never settled.
  await onReleaseRequested({ ...releasing(commit, base, folder), payload }, tools());
  end('cancelled', { repository: folder });
  const { markdown, json } = await reportOn('cancelled', 'Changed my mind.', null, base, folder);
  expect(json).toMatchObject({ outcome: 'cancelled', result: { commit, branch, proven: true }, saved: null });
  expect(markdown).toContain('It had been pushed before the task was cancelled');
  expect(markdown).toContain(`Take away what was pushed before it ended: ${json.result.undo}`);
  expect(git(json.result.repository, 'rev-parse', branch)).toBe(commit);
  execFileSync('sh', ['-c', json.result.undo], { stdio: 'pipe' });
  expect(git(json.result.repository, 'branch', '--list', 'nexus/*')).toBe('');
  expect((await reportOn('cancelled', 'Changed my mind.', null, base, folder)).json.result).toBe(null);
});

test('a task cancelled while it was released waits for a push on its way, but not for a host', async () => {
  const folder = await personal();
  const base = (await prepare(folder)).base_commit ?? '';
  const commit = await work({ 'a.txt': 'a' }, base, names.integration);
  record(base, subtask({ commit, merged_commit: commit }));
  complete();
  end('cancelled', { repository: folder });
  const asked = reporting('cancelled', 'Changed my mind.', null, base, folder);
  const soon = { ...tools(), now: () => Date.parse(at) + 1000 };
  expect((await onReleaseRequested(asked, soon)).is).toBe('postpone');
  const another = git(folder, 'commit-tree', '-m', 'theirs', 'main^{tree}');
  git(folder, 'branch', branch, another);
  const { markdown, json } = await reportOn('cancelled', 'Changed my mind.', null, base, folder);
  expect(json).toMatchObject({ result: null, saved: { commit } });
  expect(markdown).toContain('Nothing was released');
  expect(git(folder, 'rev-parse', branch)).toBe(another);
  const away = await reportOn('cancelled', 'Changed my mind.', null, base, 'http://user:hunter2@127.0.0.1:9/it.git');
  expect(away.markdown).toMatch(/Changed my mind. Whether its result had been pushed was not seen: .*127.0.0.1/);
  expect(away.markdown).not.toContain('hunter2');
});

test('a task whose repository never came to be has a report all the same', async () => {
  record(null);
  const { markdown, json } = await reportOn('failed', 'REPOSITORY_MISSING: There is nothing at /nowhere.', null, null);
  expect(json).toMatchObject({ outcome: 'failed', saved: null, numbers: { subtasks: 0 }, not_proven: [] });
  expect(markdown).toContain('There is nothing at /nowhere.');
  expect(markdown).toContain('Ask again: the same request, as a new task.');
  expect(existsSync(hub)).toBe(false);
});

test('the report of a cancelled task waits until its board is closed, and not for ever', async () => {
  const base = (await prepare()).base_commit ?? '';
  record(base, subtask({ state: 'working' }));
  const asked = reporting('cancelled', 'Cancelled by a person.', base, base);
  const soon = { ...tools(), now: () => Date.parse(at) + 1000 };
  expect((await onReleaseRequested(asked, soon)).is).toBe('postpone');
  const { markdown } = await reportOn('cancelled', 'Cancelled by a person.', base, base);
  expect(markdown).toContain('**cancelled**');
  expect(markdown).not.toContain('nexus dlq');
});

test('evidence that expires goes with the hub, the report stays and says so, and twice is harmless', async () => {
  const base = (await prepare()).base_commit ?? '';
  const commit = await work({ 'a.txt': 'a' }, base, names.integration);
  record(base, subtask({}));
  await release(commit, base);
  const expire = async () => await onHubExpired(message('hub.expired', { task_id: task }), tools());
  expect(await expire()).toEqual(expect.objectContaining({ is: 'done', write: [] }));
  expect(existsSync(hub)).toBe(true);
  end('completed');
  const outcome = await expire();
  for (const write of outcome.is === 'done' ? outcome.write : []) apply(write);
  expect(existsSync(hub)).toBe(false);
  const { markdown = '', json = '' } = hashes.get(keys.report(task)) ?? {};
  expect(markdown.split('\n')[2]).toContain('The evidence has expired.');
  expect(JSON.parse(json)).toMatchObject({ outcome: 'completed', evidence_expired_at: '2026-01-02T03:05:35.000Z' });
  expect(await expire()).toEqual(expect.objectContaining({ is: 'done', write: [] }));
  expect(existsSync(join(home, 'repositories', task, 'a.txt'))).toBe(true);
});
