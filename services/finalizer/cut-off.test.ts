/** The report of a task that ended while agents worked, on a real hub; and what a report says of places. */
import { execFileSync } from 'node:child_process';
import { commitEvidence } from '@nexus/shared/git';
import { isInContainer } from '@nexus/shared/process';
import { expect, test } from 'vitest';
import {
  end,
  git,
  hashes,
  home,
  hub,
  keys,
  names,
  personal,
  prepare,
  record,
  releasing,
  reporting,
  reportOn,
  subtask,
  task,
  tools,
  work,
} from '../../test/tools/finalizer.ts';
import { headAt as at } from '../../test/tools/task-head.ts';
import { onReleaseRequested } from './on-release-requested.ts';

const later = (ms: number) => new Date(Date.parse(at) + ms).toISOString();

/** A closed board on which one attempt ran when a person cancelled the task. */
const cancelled = async (repository: string | null = null) => {
  const base = (await prepare(repository)).base_commit ?? '';
  const cut = { state: 'cancelled', attempt: 1, sent_back: 0, began_at: at, ended_at: later(13_000) } as const;
  record(base, subtask(cut));
  end('cancelled', { repository });
  const board = hashes.get(keys.board(task)) ?? {};
  const head = JSON.parse(board.head ?? '{}');
  const closed = { ...head, outcome: 'cancelled', attempts: 1, sent_back: 0, merged: 0 };
  hashes.set(keys.board(task), { ...board, head: JSON.stringify(closed) });
  return base;
};
/** What its worker saves. */
const save = async (base: string) => {
  const wip = await work({ 'half.txt': 'half' }, base, names.wip('build', 1, 'token'));
  await commitEvidence({ hub, ref: names.evidence('build-1'), files: { 'output.log': 'I did' }, message: 'x' });
  return wip;
};

test('what an agent did when its task was cancelled is timed, named, and can be had', async () => {
  const folder = await personal();
  const base = await cancelled(folder);
  const wip = await save(base);
  const { markdown, json } = await reportOn('cancelled', 'Cancelled by a person.', base, base);
  expect(json).toMatchObject({
    time: { agents_ms: 13_000 },
    cut_off: [{ subtask_id: 'build', attempt: 1, duration_ms: 13_000, evidence: names.evidence('build-1') }],
    saved: { commit: null, unmerged: [{ subtask_id: 'build', commit: wip, ref: names.wip('build', 1, 'token') }] },
  });
  expect(markdown).toContain('1 subtask, 1 attempt, 0 sent back, 0 merged');
  expect(markdown).toContain('build, attempt 1 by builder: cut off after 13.0 s.');
  expect(markdown).toContain(`nexus logs ${task} --subtask build`);
  expect(markdown).toContain('In progress: Build it (build)');
  expect(markdown).toContain('Agents worked 13.0 s in sum.');
  execFileSync('sh', ['-c', json.saved.unmerged[0].fetch], { stdio: 'pipe' });
  expect(git(folder, 'rev-parse', 'FETCH_HEAD')).toBe(wip);
});

test('the report waits for workers that still save, and not for ever', async () => {
  const base = await cancelled();
  const asked = reporting('cancelled', 'Cancelled by a person.', base, base);
  const after = (ms: number) => ({ ...tools(), now: () => Date.parse(at) + ms });
  expect((await onReleaseRequested(asked, after(1000))).is).toBe('postpone');
  expect((await onReleaseRequested(asked, after(21_000))).is).toBe('done');
  await save(base);
  expect((await onReleaseRequested(asked, after(1000))).is).toBe('done');
  const { markdown } = await reportOn('cancelled', 'Cancelled by a person.', base, base);
  expect(markdown).not.toContain('Nothing of it had been kept');
});

test('only the last attempt that saved any is named, and nothing of what was merged', async () => {
  const base = (await prepare()).base_commit ?? '';
  await work({ 'a.txt': 'a' }, base, names.wip('store', 9, 'token'));
  const last = await work({ 'b.txt': 'b' }, base, names.wip('store', 10, 'token'));
  await work({ 'c.txt': 'c' }, base, names.wip('build', 1, 'token'));
  const merged = await work({ 'd.txt': 'd' }, base, names.integration);
  record(base, subtask({ commit: merged, merged_commit: merged }), subtask({ id: 'store', state: 'failed' }));
  end('failed');
  const { markdown, json } = await reportOn('failed', 'It failed.', merged, base);
  expect(json.saved.unmerged).toMatchObject([{ subtask_id: 'store', commit: last }]);
  expect(markdown).toContain('1 subtask was merged, up to');
});

test('logs are named with the hub that they lie in, and the command that shows them', async () => {
  const base = (await prepare()).base_commit ?? '';
  const log = { ref: names.evidence('gate-build-2'), path: 'run/tests.log' };
  const check = {
    ...{ name: 'tests', state: 'passed' as const, command: 'npm test', exit_code: 0, duration_ms: 1, failing: [] },
    ...{ tests: null, failing_before: false, why: '', log_tail: '', log },
  };
  record(base, subtask({ checks: [check] }));
  end('failed');
  const { markdown } = await reportOn('failed', 'It failed.', base, base);
  expect(markdown).toContain(`The logs lie in the hub \`${hub}\`; show them: \`nexus logs ${task}\``);
});

test('only a fleet whose command runs in a container has paths that the person cannot reach', () => {
  const commands = ['docker compose exec gateway nexus', 'npx nexus', undefined];
  expect(commands.map(isInContainer)).toEqual([true, false, false]);
});

test('a finalizer in a container says how its paths are reached, any other does not', async () => {
  const base = (await prepare()).base_commit ?? '';
  const commit = await work({ 'a.txt': 'a' }, base, names.integration);
  record(base, subtask({ commit, merged_commit: commit }));
  const page = async (inContainer: boolean) => {
    const outcome = await onReleaseRequested(releasing(commit, base), { ...tools(), isInContainer: () => inContainer });
    const write = outcome.is === 'done' ? outcome.write[0] : undefined;
    return write?.op === 'patch' ? (write.set.markdown ?? '') : '';
  };
  const shown = await page(true);
  expect(shown).toContain("docker compose exec finalizer sh -c 'git -C");
  expect(shown).toContain(`docker compose cp finalizer:${home}/repositories/${task} .`);
  expect(await page(false)).not.toContain('docker compose');
});
