/** The gate on real repositories, with real commands. */

import { existsSync } from 'node:fs';
import { mkdir, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { HandlerTools } from '@nexus/shared/bus';
import { fail } from '@nexus/shared/errors';
import { readEvidence, readRef } from '@nexus/shared/git';
import { expect, test } from 'vitest';
import {
  bad,
  base,
  checkouts,
  commit,
  events,
  gate,
  git,
  good,
  home,
  hub,
  integrate,
  names,
  nodeTest,
  npmProject,
  setBase,
  submitted,
  survivors,
  toolsFor,
  work,
} from '../../test/tools/gate.ts';
import { sweepGates } from './leftovers.ts';
import { onCandidateSubmitted } from './on-candidate-submitted.ts';

test('a candidate whose tests pass is passed, with the command, counts and log that prove it', async () => {
  const verdict = await gate({ commit: await commit({ 'a.test.mjs': nodeTest(['adds', good], ['subtracts', good]) }) });
  expect(verdict).toMatchObject({ verdict: 'passed', base, gate_runs: 1, before: null, alarms: [] });
  const [check] = verdict.checks;
  expect(check).toMatchObject({ name: 'tests', state: 'passed', command: 'node --test', exit_code: 0 });
  expect(check?.tests).toEqual({ total: 2, passed: 2, failed: 0, skipped: 0 });
  expect(await readEvidence({ hub, ...(check?.log ?? { ref: 'refs/none', path: '' }) })).toContain('adds');
  expect(await readRef(hub, names.tested('part', 1))).toBe(verdict.tested_commit);
  expect(events.map(({ event }) => event)).toEqual(['check.started', 'check.finished']);
});

test('the same message twice makes the same merge commit and leaves the ref in place', async () => {
  await integrate({ 'other.txt': 'x' });
  const mine = await commit({ 'a.test.mjs': nodeTest(['adds', good]) }, git(work, 'rev-parse', `${base}^`));
  // As the last one it is asked something else, so that it is merged and tested anew.
  const [one, two] = [await gate({ commit: mine }), await gate({ commit: mine, last: true })];
  expect(one.tested_commit).toBe(two.tested_commit);
  expect(git(hub, 'rev-list', '--parents', '-1', one.tested_commit ?? '')).toContain(`${base} ${mine}`);
});

test('a candidate that breaks a test goes back with its name, file and log', async () => {
  const verdict = await gate({
    commit: await commit({ 'package.json': npmProject({ test: 'node --test' }), 'a.test.js': nodeTest(['adds', bad]) }),
  });
  expect(verdict.verdict).toBe('failed');
  expect(verdict.checks[0]).toMatchObject({ command: 'npm test', exit_code: 1, failing: ['a.test.js > adds'] });
  expect(verdict.says).toContain('a.test.js > adds');
  expect(verdict.log_tail).toContain('1 == 2');
});

test('a project that declares nothing is unproven, and hello world is at least parsed', async () => {
  const words = await gate({ commit: await commit({ 'README.md': 'hello' }) });
  expect(words).toMatchObject({ verdict: 'unproven', checks: [{ name: 'tests', state: 'skipped' }] });
  const hello = await gate({ commit: await commit({ 'hello.js': 'export const hello = () => "hello";\n' }) });
  expect(hello).toMatchObject({ verdict: 'passed' });
  expect(hello.checks.map(({ name, state }) => [name, state])).toEqual([
    ['tests', 'skipped'],
    ['syntax', 'passed'],
  ]);
  const wrong = await gate({ commit: await commit({ 'hello.js': 'const = 1;\n', 'data.json': '{ a: 1 }' }) });
  expect(wrong.verdict).toBe('failed');
  expect(wrong.log_tail).toContain('data.json');
});

test('a set-up that fails is broken, and nobody is to blame', async () => {
  const mine = await commit({ 'a.test.mjs': nodeTest(['adds', good]) });
  const verdict = await gate({ commit: mine, setup: ['true', 'echo no network >&2; exit 3'] });
  expect(verdict.verdict).toBe('broken');
  expect(verdict.checks.map(({ name, state, exit_code }) => [name, state, exit_code])).toEqual([
    ['set-up', 'broken', 3],
    ['tests', 'skipped', null],
  ]);
  expect(verdict.log_tail).toContain('no network');
});

test('a tool that is missing is broken', async () => {
  const mine = await commit({ 'a.txt': 'x' });
  const verdict = await gate({ commit: mine, checks: [{ name: 'scan', command: 'no-such-tool --all' }] });
  expect(verdict).toMatchObject({ verdict: 'broken', checks: [{ name: 'scan', state: 'broken', exit_code: 127 }] });
});

test('a candidate that breaks the lock file is to blame, where the commit before could be set up', async () => {
  const lock = { name: 'p', version: '1.0.0', lockfileVersion: 3, requires: true, packages: {} };
  const link = { dependencies: { q: 'file:q' } };
  const q = JSON.stringify({ name: 'q', version: '1.0.0' });
  const packages = {
    '': { name: 'p', version: '1.0.0', ...link },
    'node_modules/q': { resolved: 'q', link: true },
    q: { version: '1.0.0' },
  };
  await integrate({
    'package.json': npmProject({ test: 'node --test' }, link),
    'package-lock.json': JSON.stringify({ ...lock, packages }),
    'q/package.json': q,
    'a.test.js': nodeTest(['adds', good]),
  });
  const more = { dependencies: { q: 'file:q', r: 'file:r' } };
  const mine = await commit({ 'package.json': npmProject({ test: 'node --test' }, more) });
  const verdict = await gate({ commit: mine });
  expect(verdict.verdict).toBe('failed');
  expect(verdict.checks[0]).toMatchObject({ name: 'set-up', state: 'failed', command: 'npm ci' });
  expect(verdict.before).toMatchObject([{ name: 'tests', state: 'passed' }]);
});

test('a conflict names its files and shows what stands against what', async () => {
  const start = base;
  await integrate({ 'a.txt': 'theirs\n' });
  const verdict = await gate({ commit: await commit({ 'a.txt': 'mine\n' }, start) });
  expect(verdict).toMatchObject({ verdict: 'conflict', tested_commit: null, files: ['a.txt'], gate_runs: 0 });
  expect(verdict.log_tail).toContain('theirs');
  expect(verdict.log_tail).toContain('mine');
  expect(await readRef(hub, names.tested('part', 1))).toBeNull();
});

test('what failed on the commit before is named so and sends nobody back; a new failure does', async () => {
  await integrate({ 'a.test.mjs': nodeTest(['old', bad], ['fine', good]) });
  const same = await gate({ commit: await commit({ 'b.txt': 'x' }) });
  expect(same).toMatchObject({ verdict: 'passed', gate_runs: 2, checks: [{ state: 'failed', failing_before: true }] });
  expect(same.alarms[0]).toContain('a.test.mjs > old');
  expect(same.before).toMatchObject([{ name: 'tests', state: 'failed' }]);
  const worse = await commit({ 'a.test.mjs': nodeTest(['old', bad], ['fine', bad]) });
  const verdict = await gate({ commit: worse, before: same.before });
  expect(verdict).toMatchObject({ verdict: 'failed', gate_runs: 1, before: null });
  expect(verdict.says).toContain('fine');
});

test('fewer tests than before are an alarm and go back, unless a feature goes with them', async () => {
  await integrate({
    'a.test.mjs': nodeTest(['one', good], ['two', good]),
    'b.js': 'export {};\n',
    'b.test.mjs': nodeTest(['three', good]),
  });
  const fewer = await gate({ commit: await commit({ 'a.test.mjs': nodeTest(['one', good]) }) });
  expect(fewer.verdict).toBe('failed');
  expect(fewer.alarms).toEqual(['"tests" ran 2 tests, 3 before.']);
  const removed = await gate({ commit: await commit({ 'b.js': null, 'b.test.mjs': null }), before: fewer.before });
  expect(removed).toMatchObject({ verdict: 'passed', alarms: ['"tests" ran 2 tests, 3 before.'] });
  const none = await gate({ commit: await commit({ 'a.test.mjs': null, 'b.test.mjs': null, 'b.js': null }) });
  expect(none.verdict).toBe('failed');
  expect(none.says).toContain('did not now');
});

test('a check that is no longer declared goes back', async () => {
  await integrate({
    'package.json': npmProject({ lint: 'true', test: 'node --test' }),
    'a.test.js': nodeTest(['one', good]),
  });
  const verdict = await gate({ commit: await commit({ 'package.json': npmProject({ test: 'node --test' }) }) });
  expect(verdict.verdict).toBe('failed');
  expect(verdict.says).toContain('"lint" (`npm run lint`) is no longer declared');
});

test('tests that are written first may be red where they are new, and nowhere else', async () => {
  await integrate({ 'a.test.mjs': nodeTest(['old', good]) });
  const first = await commit({ 'b.test.mjs': nodeTest(['new', bad]), 'c.test.mjs': `import './not-there.mjs';\n` });
  const verdict = await gate({ commit: first, kind: 'tests_first' });
  expect(verdict.verdict).toBe('passed');
  expect(verdict.still_red.toSorted()).toEqual(['b.test.mjs > new', 'c.test.mjs']);
  const added = await commit({ 'a.test.mjs': nodeTest(['old', good], ['added later', bad]) });
  expect((await gate({ commit: added, kind: 'tests_first' })).still_red).toEqual(['a.test.mjs > added later']);
  const broken = await commit({ 'a.test.mjs': nodeTest(['old', bad], ['new', bad]) });
  expect((await gate({ commit: broken, kind: 'tests_first' })).says).toContain('a.test.mjs > old');
  expect((await gate({ commit: first, kind: 'code' })).verdict).toBe('failed');
});

test.each([
  ['node --check c.js && node --test', 'passed'],
  ['node --test *.test.js && node --test e2e.js', 'failed'],
])('tests written first in a project that runs `%s` have %s', async (script, verdict) => {
  const project = { 'c.js': 'export {};\n', 'e2e.js': nodeTest(['end to end', good]) };
  await integrate({ ...project, 'package.json': npmProject({ test: script }), 'a.test.js': nodeTest(['old', good]) });
  const first = await commit({ 'b.test.js': nodeTest(['new', bad], ['also new', good]) });
  const said = await gate({ commit: first, kind: 'tests_first' });
  expect(said.verdict).toBe(verdict);
  expect(said.says).toContain(verdict === 'passed' ? 'excused' : 'then `node --test e2e.js`');
});

test('red tests may stay red as long as somebody else has yet to write their code', async () => {
  await integrate({ 'a.test.mjs': nodeTest(['old', good]) });
  const first = await gate({ commit: await commit({ 'b.test.mjs': nodeTest(['new', bad]) }), kind: 'tests_first' });
  setBase(first.tested_commit ?? '');
  git(work, 'fetch', '-q', hub, names.tested('part', 1));
  const mine = await commit({ 'x.txt': 'x' }, base);
  const asked = { commit: mine, before: first.checks };
  const meanwhile = await gate({ ...asked, allowed_red: first.still_red });
  expect(meanwhile).toMatchObject({ verdict: 'passed', still_red: ['b.test.mjs > new'], gate_runs: 1 });
  const last = await gate({ ...asked, allowed_red: [] });
  expect(last).toMatchObject({ verdict: 'failed', checks: [{ failing_before: false }] });
});

test('a check that never ends is ended with all its children, and has failed', async () => {
  const mine = await commit({ 'a.txt': 'x' });
  const command = `(trap '' TERM; setsid sh -c "trap '' TERM; while true; do sleep 1; done") & sleep 600`;
  const verdict = await gate({ commit: mine, checks: [{ name: 'slow', command, timeout_ms: 300 }] });
  expect(verdict.verdict).toBe('failed');
  expect(verdict.checks[0]).toMatchObject({ name: 'slow', state: 'failed', exit_code: null });
  expect(verdict.checks[0]?.why).toContain('did not end, and was ended at its time limit');
  expect(survivors()).toEqual([]);
});

test('the checks of the task come first, with their own limits, and no secret stays in a log', async () => {
  const mine = await commit({ 'a.test.mjs': nodeTest(['adds', good]) });
  const verdict = await gate({ commit: mine, checks: [{ name: 'says', command: 'echo password hunter2; echo $CI' }] });
  expect(verdict.checks.map(({ name }) => name)).toEqual(['says', 'tests']);
  expect(verdict.checks[0]?.log_tail).toBe('$ echo password (redacted); echo $CI\npassword (redacted)\ntrue');
});

test('a check that somebody ends from outside is run again, and is broken only then', async () => {
  const mine = await commit({ 'a.txt': 'x' });
  const once = 'if [ -e ../before ]; then exit 0; fi; touch ../before; kill -TERM $$';
  expect(await gate({ commit: mine, checks: [{ name: 'once', command: once }] })).toMatchObject({ verdict: 'passed' });
  const verdict = await gate({ commit: mine, checks: [{ name: 'always', command: 'kill -KILL $$' }] });
  expect(verdict).toMatchObject({ verdict: 'broken', checks: [{ state: 'broken', exit_code: null }] });
});

test('the folder of a gate says whose it is, so that a deleted task takes it along', async () => {
  const mine = await commit({ 'a.txt': 'x' });
  const asked = [{ name: 'whose', command: `test "$(cat ../task)" = "${submitted({}).payload.task_id}"` }];
  expect(await gate({ commit: mine, checks: asked })).toMatchObject({ verdict: 'passed' });
});

test('a gate does not begin where the disk is full', async () => {
  const tools = toolsFor();
  const full = { ...tools, config: { ...tools.config, diskReserve: Number.MAX_SAFE_INTEGER } };
  const tried = Promise.resolve(onCandidateSubmitted(submitted({}), full));
  await expect(tried).rejects.toMatchObject({ code: 'DISK_FULL' });
  expect(checkouts()).toEqual([]);
});

test('what a killed checker left goes once its claim is lost; what is of another fabric, after a day', async () => {
  const yesterday = new Date(Date.now() - 25 * 3_600_000);
  const left = async (name: string, fabric: string | null, made = new Date()) => {
    await mkdir(join(home, 'gates', name), { recursive: true });
    if (fabric !== null) await writeFile(join(home, 'gates', name, 'fabric'), fabric);
    await utimes(join(home, 'gates', name), made, made);
  };
  await left('held', '{test}', yesterday);
  await left('lost', '{test}');
  await left('foreign', '{other}');
  await left('foreign-old', '{other}', yesterday);
  await left('unknown', null);
  const isClaimed = async (token: string) => token === 'held';
  expect(await sweepGates({ home, prefix: '{test}', now: Date.now(), isClaimed })).toBe(2);
  expect(checkouts().sort()).toEqual(['foreign', 'held', 'unknown']);
});

test('a gate that is stopped ends its processes and gives the candidate back', async () => {
  const mine = await commit({ 'a.txt': 'x' });
  const stop = new AbortController();
  const tools = toolsFor(stop.signal);
  const tell: HandlerTools['tell'] = ({ event }) =>
    void (event === 'check.started' && stop.abort(fail('STOPPED', { epoch: 2 })));
  const message = submitted({ commit: mine, checks: [{ name: 'slow', command: 'sleep 600' }] });
  const outcome = await onCandidateSubmitted(message, { ...tools, tell });
  expect(outcome.is).toBe('give_back');
  expect(survivors()).toEqual([]);
  expect(existsSync(join(home, 'gates', tools.claim.token))).toBe(false);
});
