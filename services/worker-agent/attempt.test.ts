import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import type { Message, Outcome } from '@nexus/shared/bus';
import { fail } from '@nexus/shared/errors';
import { readEvidence, refs } from '@nexus/shared/git';
import { catalog as kinds, type PayloadOf } from '@nexus/shared/messages';
import { listMarked } from '@nexus/shared/process';
import { afterAll, afterEach, beforeEach, describe, expect, test } from 'vitest';
import { closeTemplates, openRig, type Rig, taskId } from '../../test/tools/worker.ts';
import type { Order } from './attempt.ts';
import { onSubtaskDispatched } from './on-subtask-dispatched.ts';

let rig: Rig;
beforeEach(async () => {
  rig = await openRig({ 'README.md': 'A project.\n', 'words.txt': 'one\ntwo\nthree\n' });
});
afterEach(() => rig.close());
afterAll(closeTemplates);

type Delivery = ReturnType<Rig['tools']>;
type Finished = PayloadOf<'attempt.finished'>;

const handle = (order: Order, delivery: Delivery): Promise<Outcome> =>
  Promise.resolve(onSubtaskDispatched({ payload: order } as Message<'subtask.dispatched'>, delivery.tools));

/** The message that a handled attempt ends in, as its receiver will read it. */
const finishedOf = (outcome: Outcome): Finished => {
  if (outcome.is !== 'done') throw new Error(`the outcome is ${JSON.stringify(outcome)}`);
  const message = outcome.publish.find(({ type }) => type === 'attempt.finished');
  return kinds['attempt.finished'].payload.parse(message?.payload);
};

/** Runs an attempt of which the agent is a shell command. */
const runShell = async (command: string, changes: Partial<Order> = {}, settings: Record<string, string> = {}) => {
  const delivery = rig.tools({ NEXUS_AGENT_COMMAND: command, ...settings });
  const finished = finishedOf(await handle(rig.order(changes), delivery));
  return { ...delivery, finished };
};

const checkpoint = (): { commit: string; step: string; spent_ms: number; left: string[] } | null =>
  JSON.parse(rig.ledger.get('{test}:attempt:a-task:storage')?.checkpoint ?? 'null');
const show = (commit: string | null, path: string) => rig.git('show', `${commit}:${path}`);
const evidence = ({ evidence: at }: Finished, path: string) => readEvidence({ hub: rig.hub, ref: at?.ref ?? '', path });
/** The processes of this rig's agents: a test of another run on this machine has agents of the same task. */
const agents = () => listMarked().filter(({ mark, home }) => home === rig.home && mark.startsWith(`{test}.${taskId}.`));
const workspaces = () => {
  const folder = join(rig.home, 'workspaces', taskId);
  return existsSync(folder) ? readdirSync(folder) : [];
};

describe('an attempt that finishes', () => {
  test('begins before it spawns anything, and ends in a pushed commit, a report and evidence (rule 20)', async () => {
    const report = JSON.stringify({ summary: 'Stored it.', confidence_score: 0.9, deliverables: ['storage'] });
    const written = `mkdir -p .nexus src; echo stored > src/storage.txt; echo '${report}' > .nexus/report.json`;
    const command = `echo working; ${written}`;
    const { finished, seen } = await runShell(command);
    expect(seen.begun).toMatchObject([{ type: 'attempt.begun', payload: { subtask_id: 'storage', attempt: 1 } }]);
    expect(finished).toMatchObject({ outcome: 'finished', code: null, wip: null, says: 'Stored it.' });
    expect(finished.report).toMatchObject({ summary: 'Stored it.', confidence_score: 0.9 });
    expect(finished.files).toEqual(['src/storage.txt']);
    expect(show(finished.commit, 'src/storage.txt')).toBe('stored');
    expect(rig.git('for-each-ref', '--format=%(refname)')).toContain(`refs/nexus/${taskId}/attempt/storage/1-test-`);
    expect(await evidence(finished, 'output.log')).toContain('working');
    expect(await evidence(finished, 'prompt.md')).toContain('Write the storage.');
    const about = JSON.parse((await evidence(finished, 'attempt.json')) ?? '{}');
    expect(about).toMatchObject({ outcome: 'finished', runtime: 'command', exit_code: 0, agent_id: 'code_developer' });
    expect(about.environment).toContain('NEXUS_SUBTASK');
    // The agent's own time lies within that of its attempt.
    const times = [about.began_at, about.agent_began_at, about.agent_ended_at, about.ended_at].map(Date.parse);
    expect(times).toEqual(times.toSorted((one, other) => one - other));
    expect(existsSync(join(rig.home, 'workspaces', taskId))).toBe(false);
  });

  test('signs with the agent’s name and says in trailers what it belongs to', async () => {
    const { finished } = await runShell('echo a > a.txt');
    expect(rig.git('log', '-1', '--format=%an <%ae>', finished.commit ?? '')).toBe('Code <code_developer@nexus.local>');
    const message = rig.git('log', '-1', '--format=%B', finished.commit ?? '');
    expect(message).toMatch(/^The storage\n\nTask: a-task\nSubtask: storage\nAttempt: 1\nAgent: code_developer$/);
  });

  test('takes commits that the agent made itself, under the agent’s own name', async () => {
    const { finished } = await runShell('echo a > a.txt; git add -A; git commit -qm mine');
    expect(rig.git('log', '-1', '--format=%s %an', finished.commit ?? '')).toBe('mine Code');
    expect(finished.files).toEqual(['a.txt']);
  });

  test('shows the output live and redacted, and keeps no secret anywhere', async () => {
    const command =
      'echo the-secret-of-the-worker; echo ghp_abcdefghijklmnopqrstuvwxyz0123456789 > a.txt; echo visible';
    const { finished, seen } = await runShell(command);
    const live = seen.events.filter(({ event }) => event === 'agent.output').map(({ text }) => text);
    expect(live.join('')).toContain('(redacted)\nvisible');
    expect(JSON.stringify([finished, live, await evidence(finished, 'output.log')])).not.toContain('the-secret-of');
  });

  test('says what it does at each step', async () => {
    const { seen } = await runShell('echo counting sheep; echo a > a.txt');
    const steps = ['makes its workspace', 'works (command)', 'counting sheep', 'saves its work'];
    expect(seen.doing).toEqual(expect.arrayContaining(steps));
  });

  test('ends what the agent left running, and says so', async () => {
    const { finished, seen } = await runShell('echo a > a.txt; setsid sleep 300 >/dev/null 2>&1 &');
    expect(finished.outcome).toBe('finished');
    expect(seen.events).toContainEqual(expect.objectContaining({ text: expect.stringContaining('left running') }));
    expect(agents()).toEqual([]);
  });

  test('leaves out what set-up made, unless the agent changed it', async () => {
    rig.setTask({ setup: ['mkdir made; echo 1 > made/kept.txt; echo 1 > "made/changed file.txt"'] });
    const { finished } = await runShell('echo 2 >> "made/changed file.txt"; echo n > made/new.txt; echo a > a.txt');
    expect(finished.files).toEqual(['a.txt', 'made/changed file.txt', 'made/new.txt']);
  });

  test('never commits .nexus or installed packages', async () => {
    const { finished } = await runShell(
      'mkdir -p node_modules/x .nexus; touch node_modules/x/y .nexus/z; echo a > a.txt',
    );
    expect(rig.git('ls-tree', '-r', '--name-only', finished.commit ?? '')).toBe('README.md\na.txt\nwords.txt');
  });
});

describe('what an attempt leaves beside its commit', () => {
  test('is kept: stashes and branches at refs of their own, ignored files by name', async () => {
    const files = 'echo "*.log" > .gitignore; echo noise > a.log; echo stashed >> words.txt; git stash -q';
    const { finished, seen } = await runShell(`${files}; git checkout -q -b idea; echo i > i.txt; git add i.txt;
      git commit -qm idea; git checkout -q --detach HEAD~1; echo a > a.txt`);
    expect(finished).toMatchObject({ outcome: 'finished', files: ['.gitignore', 'a.txt'] });
    const kept = rig.git('for-each-ref', '--format=%(refname)', `refs/nexus/${taskId}/wip/storage`).split('\n');
    expect(kept.map((ref) => ref.replace(/^.*-side-|-[^-]*$/g, ''))).toEqual(['idea', 'stash']);
    expect(show(kept[0] ?? '', 'i.txt')).toBe('i');
    expect(show(kept[1] ?? '', 'words.txt')).toContain('stashed');
    const notes = seen.events.filter(({ event }) => event === 'agent.note').map(({ text }) => text);
    expect(notes).toContainEqual(expect.stringContaining('left beside its commit, and kept: stash: refs/nexus'));
    expect(notes).toContainEqual('ignored by the project, so not taken over: a.log');
    expect(workspaces()).toEqual([]);
  });

  test('and cannot be committed, stays on its machine for a while, and is named', async () => {
    const { finished, seen } = await runShell('mkdir -p w/.GIT; echo o > w/.GIT/odd; echo a > a.txt');
    expect(finished).toMatchObject({ outcome: 'finished', files: ['a.txt'] });
    const notes = seen.events.filter(({ event }) => event === 'agent.note').map(({ text }) => text);
    expect(notes).toContainEqual(expect.stringContaining('not committed: w/.GIT/odd'));
    expect(workspaces()).toHaveLength(1);
  });
});

describe('an attempt that fails', () => {
  test.each([
    ['AGENT_FAILED', 'failed', 'echo half > half.txt; echo going wrong; exit 3'],
    ['AGENT_CRASHED', 'failed', 'echo half > half.txt; echo going wrong; kill -KILL $$'],
    ['AGENT_TIMED_OUT', 'timed_out', 'echo half > half.txt; echo going wrong; sleep 300'],
  ])(
    '%s: is reported so, and its work is kept at the wip ref of its claim (rule 27)',
    async (code, outcome, command) => {
      const { finished } = await runShell(command, { time_box_minutes: code === 'AGENT_TIMED_OUT' ? 0.01 : 1 });
      expect(finished).toMatchObject({ outcome, code, commit: null, files: ['half.txt'] });
      expect(finished.log_tail).toContain('going wrong');
      expect(show(finished.wip, 'half.txt')).toBe('half');
      expect(rig.git('for-each-ref', '--format=%(objectname)', `refs/nexus/${taskId}/wip/storage`)).toBe(finished.wip);
      expect(workspaces()).toHaveLength(1);
    },
  );

  test('AGENT_IDLE: changed nothing, though a commit was asked for', async () => {
    const { finished } = await runShell('echo I would rather not');
    expect(finished).toMatchObject({ outcome: 'failed', code: 'AGENT_IDLE', commit: null, wip: null });
  });

  test('COMMAND_MISSING: the command is gone from the workspace', async () => {
    const { finished } = await runShell('./no-such-agent --work');
    expect(finished).toMatchObject({ outcome: 'failed', code: 'COMMAND_MISSING' });
  });

  test('NO_RUNTIME: says what was looked for and what mends it, and leaves no workspace', async () => {
    const delivery = rig.tools();
    const finished = finishedOf(await handle(rig.order(), delivery));
    expect(finished).toMatchObject({ outcome: 'failed', code: 'NO_RUNTIME' });
    expect(finished.says).toMatch(/NEXUS_AGENT_COMMAND/);
    expect(workspaces()).toEqual([]);
  });

  test('RUNTIME_UNKNOWN: names those there are', async () => {
    const { finished } = await runShell('true', { runtime: 'telepathy' });
    expect(finished).toMatchObject({ outcome: 'failed', code: 'RUNTIME_UNKNOWN' });
    expect(finished.says).toContain('command, scripted');
  });

  test('WORKSPACE_SETUP: the task’s set-up fails, with its log', async () => {
    rig.setTask({ setup: ['echo fine', 'echo no such tool; exit 9'] });
    const { finished } = await runShell('echo a > a.txt');
    expect(finished).toMatchObject({ outcome: 'failed', code: 'WORKSPACE_SETUP', commit: null });
    expect(finished.says).toContain('exit 9');
    expect(finished.log_tail).toContain('no such tool');
  });

  test('DISK_FULL: nothing begins without a reserve, and the attempt fails by that name', async () => {
    const { finished } = await runShell('true', {}, { NEXUS_DISK_RESERVE: '999999GB', NEXUS_DISK_WAIT: '0s' });
    expect(finished).toMatchObject({ outcome: 'failed', code: 'DISK_FULL' });
    expect(workspaces()).toEqual([]);
  });
});

describe('the next attempt', () => {
  test('goes on from what a crashed one left', async () => {
    const first = await runShell('echo half > half.txt; kill -KILL $$');
    const hand_over = {
      why: 'agent_failed' as const,
      says: first.finished.says,
      commit: first.finished.wip,
      log_tail: '',
      files: [],
    };
    const { finished } = await runShell('cat half.txt; cp half.txt whole.txt', { attempt: 2, hand_over });
    expect(finished).toMatchObject({ outcome: 'finished', files: ['half.txt', 'whole.txt'] });
    expect(await evidence(finished, 'prompt.md')).toContain('The work so far');
  });

  test('gets conflicts as marks in its files, and its resolution becomes a merge of both', async () => {
    const mine = await rig.commitOn(rig.integration, { 'words.txt': 'one\nmine\nthree\n' });
    const theirs = await rig.commitOn(rig.integration, { 'words.txt': 'one\ntheirs\nthree\n' });
    const hand_over = { why: 'conflict' as const, says: 'words.txt', commit: mine, log_tail: '', files: ['words.txt'] };
    const order = { attempt: 2, integration: theirs, hand_over };
    const unresolved = await runShell('cat words.txt', order);
    expect(unresolved.finished).toMatchObject({ outcome: 'failed', code: 'CONFLICT_UNRESOLVED', files: ['words.txt'] });
    expect(show(unresolved.finished.wip, 'words.txt')).toContain('<<<<<<<');
    const { finished } = await runShell("printf 'one\\nmine\\ntheirs\\nthree\\n' > words.txt", order);
    expect(finished.outcome).toBe('finished');
    expect(show(finished.commit, 'words.txt')).toBe('one\nmine\ntheirs\nthree');
    for (const parent of [mine, theirs]) rig.git('merge-base', '--is-ancestor', parent, finished.commit ?? '');
    expect(await evidence(finished, 'prompt.md')).toMatch(/conflicts[\s\S]*- words\.txt/);
  });

  test('is told of a set-up that fails with the work so far, instead of failing by it', async () => {
    rig.setTask({ setup: ['test ! -e broken.txt || { echo it is broken; exit 1; }'] });
    const commit = await rig.commitOn(rig.integration, { 'broken.txt': 'x' });
    const hand_over = { why: 'gate_failed' as const, says: 'red', commit, log_tail: '', files: [] };
    const { finished } = await runShell('rm broken.txt; echo a > a.txt', { attempt: 2, hand_over });
    expect(finished).toMatchObject({ outcome: 'finished', files: ['a.txt'] });
    expect(await evidence(finished, 'prompt.md')).toContain('it is broken');
  });

  test('finds the work of a worker that died without a word, on the same machine (rules 2, 26)', async () => {
    const dead = rig.tools({ NEXUS_AGENT_COMMAND: 'echo saved by nobody > half.txt; echo written; sleep 300' });
    const lost = handle(rig.order(), dead).catch((thrown) => thrown);
    await dead.until('written');
    dead.stop(fail('CLAIM_LOST', { id: 'x' }));
    expect(await lost).toMatchObject({ code: 'CLAIM_LOST' });
    expect(workspaces()).toHaveLength(1);
    const { finished } = await runShell('cp half.txt whole.txt');
    expect(finished).toMatchObject({ outcome: 'finished', files: ['half.txt', 'whole.txt'] });
    expect(show(finished.commit, 'whole.txt')).toBe('saved by nobody');
  });
});

describe('an attempt that is stopped', () => {
  test('ends its processes, saves its work, and is given back; the next delivery goes on from there', async () => {
    const delivery = rig.tools({ NEXUS_AGENT_COMMAND: 'echo half > half.txt; echo written; sleep 300' });
    const outcome = handle(rig.order(), delivery);
    await delivery.until('written');
    delivery.stop();
    expect(await outcome).toEqual({ is: 'give_back', why: 'stopped' });
    expect(agents()).toEqual([]);
    expect(show(checkpoint()?.commit ?? null, 'half.txt')).toBe('half');
    expect(workspaces()).toEqual([]);
    const { finished } = await runShell('cp half.txt whole.txt');
    expect(finished).toMatchObject({ attempt: 1, outcome: 'finished', files: ['half.txt', 'whole.txt'] });
  });

  test('does not begin at all when it was stopped before', async () => {
    const delivery = rig.tools({ NEXUS_AGENT_COMMAND: 'echo a > a.txt' });
    delivery.stop();
    await expect(handle(rig.order(), delivery)).rejects.toMatchObject({ code: 'STOPPED' });
    expect(workspaces()).toEqual([]);
  });

  test('by CLAIM_LOST: ends its processes, and changes nothing', async () => {
    const delivery = rig.tools({ NEXUS_AGENT_COMMAND: 'echo half > half.txt; echo written; sleep 300' });
    const outcome = handle(rig.order(), delivery).catch((thrown) => thrown);
    await delivery.until('written');
    const before = rig.git('for-each-ref');
    delivery.stop(fail('CLAIM_LOST', { id: 'x' }));
    expect(await outcome).toMatchObject({ code: 'CLAIM_LOST' });
    expect(rig.git('for-each-ref')).toBe(before);
    expect(checkpoint()).toBeNull();
    expect(agents()).toEqual([]);
  });

  test('has saved its work on a time before that', async () => {
    const settings = {
      NEXUS_AGENT_COMMAND: 'echo half > half.txt; echo written; sleep 300',
      NEXUS_CHECKPOINT_INTERVAL: '50ms',
    };
    const delivery = rig.tools(settings);
    const outcome = handle(rig.order(), delivery).catch((thrown) => thrown);
    await expect.poll(() => checkpoint()?.commit, { timeout: 10_000 }).toBeTruthy();
    expect(show(checkpoint()?.commit ?? null, 'half.txt')).toBe('half');
    delivery.stop(fail('CLAIM_LOST', { id: 'x' }));
    await outcome;
  });
});

describe('kinds of subtask', () => {
  test('a planner’s plan travels in its message', async () => {
    const plan = { subtasks: [{ id: 'api', title: 'API', role: 'backend', goal: 'Build it.' }] };
    const command = `mkdir -p .nexus; echo '${JSON.stringify(plan)}' > .nexus/plan.json`;
    const { finished } = await runShell(command, { kind: 'report', grows: true, role: 'planner' });
    expect(finished).toMatchObject({ outcome: 'finished', commit: null });
    expect(finished.plan).toMatchObject({ file: { subtasks: [{ id: 'api', kind: 'code', depends_on: [] }] } });
    expect(await evidence(finished, 'prompt.md')).toMatch(/plan\.json[\s\S]*depends_on[\s\S]*- backend:/);
  });

  test('a plan that does not hold comes with its mistakes', async () => {
    const command = 'mkdir -p .nexus; echo "{\\"subtasks\\": [{\\"id\\": \\"Not An Id\\"}]}" > .nexus/plan.json';
    const { finished } = await runShell(command, { kind: 'report', grows: true, role: 'planner' });
    expect(finished.plan).toMatchObject({ problem: expect.stringMatching(/subtasks\.0\.id/) });
  });

  test('a report is a document; files that it changed all the same are kept as evidence, not taken over', async () => {
    const command =
      "mkdir -p .nexus; printf '# Review\\n\\nAll is well.\\n\\nReally.' > .nexus/report.md; echo x > x.txt";
    const { finished, seen } = await runShell(command, { kind: 'report', role: 'reviewer' });
    expect(finished).toMatchObject({ outcome: 'finished', commit: null, report: { summary: 'All is well.' } });
    expect(await evidence(finished, 'report.md')).toContain('Really.');
    expect(await evidence(finished, 'changes.diff')).toContain('+x');
    expect(seen.events).toContainEqual(expect.objectContaining({ text: expect.stringContaining('changes.diff') }));
  });

  test('what a subtask before has reported reaches the prompt as a whole document', async () => {
    const long = `Findings: ${'a finding, '.repeat(500)}the end of the findings`;
    const command = `mkdir -p .nexus; echo '${long}' > .nexus/report.md`;
    const first = await runShell(command, { subtask_id: 'analyst', kind: 'report', role: 'analyst' });
    const input = { subtask_id: 'analyst', title: 'Analysis', summary: 'cut', evidence: first.finished.evidence };
    const { finished } = await runShell('echo a > a.txt', { inputs: [input] });
    expect(await evidence(finished, 'prompt.md')).toContain('the end of the findings');
  });
});

describe('a rehearsal', () => {
  const scenario = JSON.stringify({
    name: 'Two attempts',
    subtasks: {
      storage: [[{ write: { 'a.txt': 'half' } }, { crash: 'SIGKILL' }], [{ append: { 'a.txt': ' whole' } }]],
    },
  });

  test('plays the attempt that it is, only where rehearsals are on', async () => {
    rig.setTask({ scenario });
    const off = finishedOf(await handle(rig.order(), rig.tools()));
    expect(off).toMatchObject({
      outcome: 'failed',
      code: 'NO_RUNTIME',
      says: expect.stringContaining('NEXUS_REHEARSAL'),
    });
    const settings = { NEXUS_REHEARSAL: 'on' };
    const first = finishedOf(await handle(rig.order(), rig.tools(settings)));
    expect(first).toMatchObject({ outcome: 'failed', code: 'AGENT_CRASHED' });
    const hand_over = { why: 'agent_failed' as const, says: '', commit: first.wip, log_tail: '', files: [] };
    const second = finishedOf(await handle(rig.order({ attempt: 2, hand_over }), rig.tools(settings)));
    expect(show(second.commit, 'a.txt')).toBe('half whole');
  });

  test('that cannot be read fails under its own code, which no other attempt mends', async () => {
    rig.setTask({ scenario: 'name: broken\nsubtasks: [' });
    const finished = finishedOf(await handle(rig.order(), rig.tools({ NEXUS_REHEARSAL: 'on' })));
    expect(finished).toMatchObject({ outcome: 'failed', code: 'SCENARIO_INVALID' });
    expect(finished.says).toMatch(/line \d/);
  });

  test('is never played where the task asked for another runtime', async () => {
    rig.setTask({ scenario, runtime: 'command', agent_command: 'echo real > real.txt' });
    const finished = finishedOf(await handle(rig.order(), rig.tools({ NEXUS_REHEARSAL: 'on' })));
    expect(finished.files).toEqual(['real.txt']);
  });
});

test('an attempt’s evidence lies at its ref, so a dependent finds it by name', async () => {
  const { finished } = await runShell('echo a > a.txt');
  expect(finished.evidence).toEqual({ ref: refs(taskId).evidence('storage-1'), path: 'report.md' });
});
