/**
 * How often a task's candidates are tested: the real gate, real merges, and the board that sends them there. `runs`
 * counts what was really run, by a line that the check of the task itself writes.
 */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { pushMerge } from '@nexus/shared/git';
import type { PayloadOf } from '@nexus/shared/messages';
import { describe, expect, test } from 'vitest';
import {
  base,
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
  task,
  work,
} from '../../test/tools/gate.ts';
import { play } from '../../test/tools/play.ts';

const counted = (then = 'true') => [{ name: 'counted', command: `echo run >> ${home}/runs; ${then}` }];
const runs = (): number =>
  existsSync(join(home, 'runs')) ? readFileSync(join(home, 'runs'), 'utf8').trim().split('\n').length : 0;

describe('the same commit on the same head', () => {
  test('is not tested again where its message comes again after the verdict: same verdict, same runs', async () => {
    await integrate({ 'a.txt': 'a' });
    const mine = await commit({ 'a.test.mjs': nodeTest(['adds', good]) });
    const first = await gate({ commit: mine, checks: counted() }, 'one');
    expect([first.verdict, first.gate_runs, runs()]).toEqual(['passed', 2, 2]);
    expect(await gate({ commit: mine, checks: counted() }, 'one')).toEqual(first);
    expect(runs()).toBe(2);
    expect(events.at(-1)).toMatchObject({ data: { again: true }, text: expect.stringContaining('passed') });
  });

  test('is not tested again for another message either, which then cost no run', async () => {
    const mine = await commit({ 'a.txt': 'a' });
    const failing = { commit: mine, checks: counted('exit 1') };
    const first = await gate(failing);
    expect(first.verdict).toBe('failed');
    expect(await gate({ ...failing, before: first.before })).toEqual({ ...first, gate_runs: 0 });
    expect(runs()).toBe(1);
  });

  test('is tested again where the gate had broken, and where something else is asked of it', async () => {
    const mine = await commit({ 'a.txt': 'a' });
    const broken = { commit: mine, checks: counted('no-such-tool') };
    for (const expected of [1, 2]) {
      expect((await gate(broken)).verdict).toBe('broken');
      expect(runs()).toBe(expected);
    }
    await gate({ commit: mine, checks: counted() });
    await gate({ commit: mine, checks: counted(), last: true });
    await gate({ commit: mine, checks: counted(), kind: 'tests_first' });
    expect(runs()).toBe(5);
    await integrate({ 'b.txt': 'b' });
    await gate({ commit: mine, checks: counted(), before: [] });
    expect(runs()).toBe(6);
  });
});

/** Plays a board of N subtasks side by side: each is finished at the same head, gated and merged as the board asks. */
const playOut = async (count: number, options: { redFirst?: number } = {}) => {
  await integrate({ 'a.test.mjs': nodeTest(['adds', good]) });
  const start = base;
  const ids = Array.from({ length: count }, (_, at) => `n${at}`);
  const game = play(
    ids.map((id) => ({ id })),
    { rules: { sentBackMax: 9 } },
  );
  let integration = start;
  let reds = options.redFirst ?? 0;
  const finish = async (id: string, onto: string) => {
    const red = id === 'n0' && reds-- > 0;
    const files = {
      [`${id}.txt`]: `${game.part(id).attempt}`,
      ...(id === 'n0' ? { state: red ? 'red' : 'green' } : {}),
    };
    game.finish(id, { commit: await commit(files, onto, `refs/nexus/x/${id}-${game.part(id).attempt}`) });
  };
  const check = counted('{ test ! -e state || grep -q green state; } && node --test');
  // All of them began at the same head.
  for (const id of ids) await finish(id, start);
  for (;;) {
    const id = game.head().at_gate;
    if (id === null) break;
    const asked = game.last('candidate.submitted', id) as PayloadOf<'candidate.submitted'>;
    const verdict = await gate({ ...asked, task_id: task, integration, checks: check, setup: null });
    expect(verdict.verdict).not.toBe('broken');
    const { tested_commit: tested } = verdict;
    game.verdict(id, { ...verdict, ...game.of(id), base: game.head().integration });
    if (verdict.verdict === 'failed') {
      await finish(id, integration);
    } else if (tested !== null) {
      const refs = { integrationRef: names.integration, markerRef: names.merged(id) };
      expect(await pushMerge({ hub, base: integration, tested, ...refs })).toBe('merged');
      integration = tested;
      git(work, 'fetch', '-q', hub, tested);
      game.merge(id, { commit: tested });
    }
  }
  return game;
};

describe('N subtasks that work side by side', () => {
  test('cost N runs and one of the commit before, and the result is the last candidate: 2 N is never met', async () => {
    const game = await playOut(4);
    expect(game.head()).toMatchObject({ outcome: 'completed', merged: 4, sent_back: 0, gate_runs: 5 });
    expect(runs()).toBe(5);
    // What is released is what the last gate tested, by its very verdict: nothing runs for the release.
    expect(game.last('board.completed').commit).toBe(game.head().integration);
  });

  test('cost one run more for each candidate that a failed check sends back, and no other', async () => {
    const game = await playOut(2, { redFirst: 3 });
    expect(game.head()).toMatchObject({ outcome: 'completed', merged: 2, sent_back: 3, gate_runs: 2 + 1 + 3 });
    expect(runs()).toBe(6);
  });
});
