/**
 * A project whose set-up and tests are hostile, under a real quality checker: agents wrote them, so they are fenced as
 * agents are. Each tries to read what is not its own and to write elsewhere, and says in its log what it found.
 */
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { done, type Message } from '@nexus/shared/bus';
import { createHub, hubPath, pushRef, readEvidence, refs } from '@nexus/shared/git';
import { writeTask } from '@nexus/shared/ledger/write';
import type { PayloadOf } from '@nexus/shared/messages';
import { probeSandbox } from '@nexus/shared/process';
import { describe, expect, onTestFinished, test } from 'vitest';
import { eventually } from '../tools/eventually.ts';
import { leaveOut } from '../tools/machine.ts';
import { consumeAll } from '../tools/messages.ts';
import { testFabric } from '../tools/redis.ts';
import { change } from '../tools/repositories.ts';
import { startService } from '../tools/service-process.ts';
import { taskHeadOf } from '../tools/task-head.ts';

const { usable, says: whatSandbox } = await probeSandbox();
leaveOut('the sandbox', usable ? null : whatSandbox);
const task = 'try-it-abc123';
const [key, password, note] = ['the-key-of-a-person', 'redis-password-of-the-fleet', 'what-another-task-wrote'];

/** Below the home of whoever runs this: /tmp is not seen in a sandbox anyway. */
const openPlace = () => {
  const place = mkdtempSync(join(homedir(), 'nexus-hostile-gate-'));
  onTestFinished(() => rmSync(place, { recursive: true, force: true, maxRetries: 3 }));
  const [home, person, outside] = [join(place, 'home'), join(place, 'person'), join(place, 'outside')];
  const theirs = join(home, 'gates', 'of-another');
  for (const folder of [join(person, '.ssh'), outside, theirs]) mkdirSync(folder, { recursive: true });
  const secret = join(place, 'password');
  writeFileSync(join(person, '.ssh', 'id_ed25519'), key);
  writeFileSync(secret, password);
  writeFileSync(join(theirs, 'note.txt'), note);
  return { home, person, outside, theirs, secret };
};

/** Reads and writes all that it can think of. */
const hostile = ({ home, person, outside, theirs, secret }: ReturnType<typeof openPlace>, hub: string): string =>
  [
    'echo "$1 ran in $(pwd)"; env',
    `cat ${person}/.ssh/id_ed25519 ${secret} ${theirs}/note.txt 2>&1`,
    "cat /proc/[0-9]*/environ 2>/dev/null | tr '\\0' '\\n'",
    `for place in ${outside} ${home} ${home}/caches ${theirs} ${hub} ${hub}/objects ${person} .. /var/tmp; do`,
    '  touch "$place/by-$1" 2>/dev/null',
    'done',
    'echo mine > "made-by-$1.txt"; cat made-by-*.txt > /dev/null && exit 0',
    '',
  ].join('\n');

const start = async (sandbox: 'on' | 'off') => {
  const place = openPlace();
  const fabric = testFabric();
  const hub = hubPath(place.home, task);
  const { baseCommit: base } = await createHub({ hub, repository: null, base: null });
  const scripts = {
    postinstall: 'sh hostile.sh set-up > of-set-up.txt',
    test: 'cat of-set-up.txt; sh hostile.sh test',
  };
  const files = { 'package.json': JSON.stringify({ name: 'p', scripts }), 'hostile.sh': hostile(place, hub) };
  const { folder, commit } = await change(hub, base, files);
  await pushRef({ folder, hub, commit, ref: refs(task).attempt('part', 1, 'token'), lease: null });
  const verdicts: PayloadOf<'verdict.reached'>[] = [];
  const bus = await fabric.open('project-manager');
  const work = ({ payload }: Message) => {
    verdicts.push(payload as PayloadOf<'verdict.reached'>);
    return done();
  };
  consumeAll(bus, 'project-manager', { work: work as never });
  const head = taskHeadOf(task, { base_commit: base });
  for (const write of writeTask(bus.keys, task, 0, { head, request: { request: 'Try it' } })) {
    if (write.op === 'patch') await fabric.redis.hset(write.key, { revision: '1', ...write.set });
  }
  const checker = await startService('quality-checker', fabric, {
    ...{ NEXUS_HOME: place.home, HOME: place.person, NEXUS_SANDBOX: sandbox },
    ...{ REDIS_SENTINEL_PASSWORD_FILE: place.secret },
  });
  await bus.publish({
    type: 'candidate.submitted',
    payload: {
      ...{ task_id: task, subtask_id: 'part', attempt: 1, title: 'A part', kind: 'code', commit, integration: base },
      ...{ setup: null, checks: [], before: null, allowed_red: [] },
    },
    ...{ thread: task, actor: 'test' },
  });
  const verdict = await eventually('there is a verdict', () => verdicts[0], 60_000);
  const { log } = verdict.checks.find(({ name }) => name === 'tests') ?? {};
  const said = log ? ((await readEvidence({ hub, ...log })) ?? '') : '';
  const written = [place.outside, place.home, join(place.home, 'caches'), place.theirs, hub, join(hub, 'objects')]
    .flatMap((folder) => readdirSync(folder).map((name) => join(folder, name)))
    .filter((path) => /by-(?:set-up|test)$/.test(path));
  return { place, fabric, checker, verdict, said, written };
};

test('without a sandbox the code of a project reaches what its user reaches', async () => {
  const { said, written, verdict } = await start('off');
  expect(verdict.verdict).toBe('passed');
  expect([key, note].filter((word) => said.includes(word))).toEqual([key, note]);
  expect(written.length).toBeGreaterThan(2);
});

describe.runIf(usable)('in the sandbox', () => {
  test('set-up and tests of a project read no secret and no file of others, and write in their clone', async () => {
    const { place, fabric, checker, verdict, said, written } = await start('on');
    // Both ran and wrote in their clone: what follows is not true only because nothing happened.
    expect(verdict).toMatchObject({ verdict: 'passed', checks: [{ name: 'tests', state: 'passed', exit_code: 0 }] });
    expect(said).toMatch(/set-up ran in .*\n[\s\S]*test ran in /);
    expect([key, password, note].filter((word) => said.includes(word))).toEqual([]);
    expect(said).not.toMatch(/REDIS_|NEXUS_SANDBOX/);
    expect(written).toEqual([]);
    expect(existsSync(join(place.person, 'by-test'))).toBe(false);
    expect(readFileSync(join(place.theirs, 'note.txt'), 'utf8')).toBe(note);
    expect(checker.said()).not.toContain(password);
    const { prefix } = fabric.config;
    const presences = await fabric.redis.hvals(`${prefix}:presence`);
    const told = presences.map((text) => JSON.parse(text)).find(({ service }) => service === 'quality-checker');
    expect(told.sandbox).toMatchObject({ state: 'on', says: expect.stringContaining('bwrap') });
  });
});
