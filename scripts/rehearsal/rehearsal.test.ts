/**
 * Plays the scenario against git alone, without a fleet: attempts in waves, merges one by one, the
 * project's own tests after each merge. So a mistake in the scenario shows here, with its step, and not
 * as a red demo.
 */
import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type PlanFile, planFile } from '@nexus/shared/messages/domain';
import { parseScenario, type ScenarioStep, stepsFor } from '@nexus/shared/messages/scenario';
import { afterAll, beforeAll, expect, test } from 'vitest';

const text = readFileSync(new URL('./url-shortener.yaml', import.meta.url), 'utf8');
const scenario = parseScenario(text);
const player = new URL('../../services/worker-agent/player.ts', import.meta.url).pathname;

let scratch: string;
let hub: string;
beforeAll(() => {
  scratch = mkdtempSync(join(tmpdir(), 'nexus-rehearsal-'));
  hub = join(scratch, 'hub');
  execFileSync('git', ['init', '--quiet', '-b', 'main', hub]);
  git(hub, 'commit', '--quiet', '--allow-empty', '-m', 'Begin');
});
afterAll(() => rmSync(scratch, { recursive: true, force: true }));

test('the plan is one that the fleet accepts: eight subtasks or more, five roles or more, four side by side', () => {
  const { subtasks } = planned();
  const roles = new Set([...subtasks.map((subtask) => subtask.role), 'planner', 'tester', 'reviewer']);
  expect(subtasks.length).toBeGreaterThanOrEqual(8);
  expect(roles.size).toBeGreaterThanOrEqual(5);
  expect(subtasks.filter(({ depends_on }) => depends_on.join() === 'foundation')).toHaveLength(4);
  for (const { id } of subtasks) expect(Object.keys(scenario.subtasks)).toContain(id);
});

test('every merge is green where it has to be, red where it has to be, and conflicts where it has to', () => {
  const foundation = merged(attempt('foundation', 1, head()));

  const store = attempt('store', 1, foundation);
  const codes = attempt('custom-codes', 1, foundation);
  const page = attempt('page', 1, foundation);
  const packaging = attempt('packaging', 1, foundation);
  expect(page.signal, 'the page crashes').toBe('SIGKILL');

  merged(packaging);
  merged(store);
  expect(merge(codes)).toMatchObject({ conflicts: [], passed: false });
  expect(gate().output).toContain('never two that look alike');
  back();
  merged(attempt('custom-codes', 2, head(), codes.commit));
  merged(attempt('page', 2, head(), page.commit));
  merged(attempt('api', 1, head()));

  const base = head();
  const statistics = attempt('statistics', 1, base);
  const limit = attempt('rate-limit', 1, base);
  const docs = attempt('docs', 1, base);
  merged(statistics);
  expect(merge(limit)).toEqual({ conflicts: ['src/app.js'], passed: false });
  git(hub, 'merge', '--abort');
  merged(attempt('rate-limit', 2, head(), limit.commit));
  merged(docs);
  merged(attempt('tester', 1, head()));
  expect(attempt('reviewer', 1, head()).signal).toBeNull();

  git(hub, 'checkout', '--quiet', '-b', 'other-way-round', base);
  merged(limit);
  expect(merge(statistics).conflicts).toEqual(['src/app.js']);
  git(hub, 'merge', '--abort');
  merged(attempt('statistics', 2, head(), statistics.commit));
}, 120_000);

type Attempt = { commit: string; signal: NodeJS.Signals | null };

/** Runs the agent of an attempt in a clone of its own; all that it leaves is committed, as a worker does. */
const attempt = (subtask: string, number: number, from: string, before?: string): Attempt => {
  const folder = mkdtempSync(join(scratch, `${subtask}-`));
  git(scratch, 'clone', '--quiet', hub, folder);
  git(folder, 'checkout', '--quiet', '--detach', from);
  if (before !== undefined) {
    git(folder, 'fetch', '--quiet', hub, before);
    spawnSync('git', [...identity, 'merge', '--quiet', '--no-edit', before], { cwd: folder });
  }
  const { status, signal, stdout } = spawnSync(process.execPath, [player], {
    cwd: folder,
    input: JSON.stringify({ prompt: '', speed: 1000, steps: stepsOf(subtask, number) }),
    env: { ...process.env, ...asAgent },
    encoding: 'utf8',
  });
  if (signal === null) expect(status, `${subtask} ${number} said:\n${stdout}`).toBe(0);
  rmSync(join(folder, '.nexus'), { recursive: true, force: true });
  git(folder, 'add', '--all');
  git(folder, 'commit', '--quiet', '--allow-empty', '-m', subtask);
  const commit = git(folder, 'rev-parse', 'HEAD');
  git(folder, 'push', '--quiet', hub, `${commit}:refs/attempts/${subtask}/${number}-${from}`);
  return { commit, signal };
};

/** Merges a candidate into the hub's work tree and runs the tests there. */
const merge = ({ commit }: Attempt): { conflicts: string[]; passed: boolean } => {
  const { status } = spawnSync('git', [...identity, 'merge', '--quiet', '--no-ff', '--no-edit', commit], { cwd: hub });
  const conflicts = git(hub, 'diff', '--name-only', '--diff-filter=U').split('\n').filter(Boolean);
  return { conflicts, passed: status === 0 && gate().passed };
};

const merged = (candidate: Attempt): string => {
  const { conflicts, passed } = merge(candidate);
  expect(conflicts).toEqual([]);
  if (!passed) expect.fail(gate().output);
  return head();
};

/** The project's tests, as the gate runs them; `node --test` finds no tests where there are none. */
const gate = (): { passed: boolean; output: string } => {
  const { status, stdout } = spawnSync('node', ['--test'], { cwd: hub, encoding: 'utf8', env: quietEnvironment() });
  return { passed: status === 0 && existsSync(join(hub, 'test')), output: stdout };
};

const back = (): string => git(hub, 'reset', '--quiet', '--hard', 'HEAD^');
const head = (): string => git(hub, 'rev-parse', 'HEAD');

const stepsOf = (subtask: string, number: number): ScenarioStep[] => {
  const steps = stepsFor(scenario, { subtaskId: subtask, role: subtask, agentId: subtask }, number);
  if (!steps) throw new Error(`the scenario has nothing for ${subtask}`);
  // The tests that an agent runs for itself are among those that run after the merge.
  return steps.filter(({ run }) => !/^(npm test|node --test)/.test(run ?? ''));
};

const planned = (): PlanFile => planFile.parse(scenario.subtasks.planner?.flat().find((step) => step.plan)?.plan);

/** A test runner that is started by a test runner would report to it instead of in words. */
const quietEnvironment = (): NodeJS.ProcessEnv => {
  const { NODE_TEST_CONTEXT: _context, NODE_OPTIONS: _options, ...rest } = process.env;
  return rest;
};

const identity = ['-c', 'user.name=Rehearsal', '-c', 'user.email=rehearsal@localhost'];
const asAgent = {
  GIT_AUTHOR_NAME: 'Agent',
  GIT_AUTHOR_EMAIL: 'agent@localhost',
  GIT_COMMITTER_NAME: 'Agent',
  GIT_COMMITTER_EMAIL: 'agent@localhost',
};

const git = (folder: string, ...words: string[]): string =>
  execFileSync('git', [...identity, ...words], { cwd: folder, encoding: 'utf8' }).trim();
