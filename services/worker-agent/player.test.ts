import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { ScenarioStep } from '@nexus/shared/messages/scenario';
import { afterEach, beforeEach, expect, test } from 'vitest';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'nexus-player-'));
  execFileSync('git', ['init', '-q'], { cwd: folder });
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const identity = { GIT_AUTHOR_NAME: 'A', GIT_AUTHOR_EMAIL: 'a@x', GIT_COMMITTER_NAME: 'A', GIT_COMMITTER_EMAIL: 'a@x' };
const play = (...steps: ScenarioStep[]) => {
  const player = join(import.meta.dirname, 'player.ts');
  const input = JSON.stringify({ prompt: 'The prompt.', speed: 10, steps });
  return spawnSync(process.execPath, [player], {
    cwd: folder,
    input,
    encoding: 'utf8',
    env: { PATH: process.env.PATH, ...identity },
  });
};
const file = (path: string) => readFileSync(join(folder, path), 'utf8');

test('writes, appends, replaces, resolves and deletes', () => {
  const { status } = play(
    { write: { 'a/b.txt': 'one\n', 'gone.txt': 'x' } },
    { append: { 'a/b.txt': 'two\n', 'new.txt': 'n' } },
    { replace: { path: 'a/b.txt', old: 'two', new: '$& and three' } },
    { resolve: { 'c.txt': 'both' } },
    { delete: 'gone.txt' },
  );
  expect(status).toBe(0);
  expect([file('a/b.txt'), file('new.txt'), file('c.txt')]).toEqual(['one\n$& and three\n', 'n', 'both']);
  expect(existsSync(join(folder, 'gone.txt'))).toBe(false);
});

test('fails where there is nothing to replace, and goes no further', () => {
  const { status, stdout } = play({ replace: { path: 'a.txt', old: 'x', new: 'y' } }, { write: { 'b.txt': 'b' } });
  expect(status).toBe(1);
  expect(stdout).toContain('cannot replace in a.txt');
  expect(existsSync(join(folder, 'b.txt'))).toBe(false);
});

test('runs commands; one that fails fails the agent, unless that was allowed', () => {
  expect(play({ run: 'exit 4', allow_fail: true }, { run: 'cat > prompt.txt' }).status).toBe(0);
  expect(file('prompt.txt')).toBe('The prompt.');
  const { status, stdout } = play({ run: 'echo before; exit 4' }, { say: 'never said' });
  expect(status).toBe(1);
  expect(stdout).toMatch(/before[\s\S]*exit code 4/);
  expect(stdout).not.toContain('never said');
});

test('leaves plans and reports: mappings as JSON, text as it stands', () => {
  play({ plan: { subtasks: [] } }, { report: { summary: 'S' } }, { report: '# Document' });
  expect(JSON.parse(file('.nexus/plan.json'))).toEqual({ subtasks: [] });
  expect(JSON.parse(file('.nexus/report.json'))).toEqual({ summary: 'S' });
  expect(file('.nexus/report.md')).toBe('# Document');
  play({ plan: 'not { json' });
  expect(file('.nexus/plan.json')).toBe('not { json');
});

test('commits', () => {
  expect(play({ write: { 'a.txt': 'a' } }, { commit: 'First' }).status).toBe(0);
  expect(execFileSync('git', ['log', '-1', '--format=%s %an'], { cwd: folder, encoding: 'utf8' })).toBe('First A\n');
});

test('ends as it is told: by a code, by a signal, and never after its own death', () => {
  expect(play({ exit: 7 }, { write: { 'a.txt': 'a' } }).status).toBe(7);
  expect(play({ crash: 'SIGKILL' }, { write: { 'a.txt': 'a' } }).signal).toBe('SIGKILL');
  expect(existsSync(join(folder, 'a.txt'))).toBe(false);
});
