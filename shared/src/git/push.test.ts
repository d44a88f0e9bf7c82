/** Goal: of pushes that race exactly one wins, and everybody is told the truth. */
import { execFileSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { cloneAt, pushMerge, pushRef, readRef } from '@nexus/shared/git';
import { describe, expect, test } from 'vitest';
import { change, fresh, hubWith, names } from '../../../test/tools/repositories.ts';

/** A commit that the gate tested, in the hub. */
const tested = async (hub: string, from: string, path: string): Promise<string> => {
  const changed = await change(hub, from, { [path]: 'text' });
  await pushRef({ ...changed, hub, ref: names.tested(path, 1), lease: null });
  return changed.commit;
};

describe('a push to the hub', () => {
  test('of two merges at once lets one in and tells the other that it moved', async () => {
    const { hub, base } = await hubWith({ 'a.txt': 'a\n' });
    for (let round = 0; round < 3; round += 1) {
      const from = (await readRef(hub, names.integration)) ?? base;
      const candidates = await Promise.all(['x', 'y'].map((name) => tested(hub, from, `${name}${round}`)));
      const answers = await Promise.all(
        candidates.map((commit, index) =>
          pushMerge({
            hub,
            base: from,
            tested: commit,
            integrationRef: names.integration,
            markerRef: names.merged(`s${round}-${index}`),
          }),
        ),
      );
      expect(answers.toSorted()).toEqual(['merged', 'moved']);
      const winner = answers.indexOf('merged');
      expect(await readRef(hub, names.integration)).toBe(candidates[winner]);
      expect(await readRef(hub, names.merged(`s${round}-${winner}`))).toBe(candidates[winner]);
      expect(await readRef(hub, names.merged(`s${round}-${1 - winner}`))).toBeNull();
    }
  });

  test('of the same merge twice, one after the other or at once, merges once', async () => {
    const { hub, base } = await hubWith({ 'a.txt': 'a\n' });
    const commit = await tested(hub, base, 'b.txt');
    const push = { hub, base, tested: commit, integrationRef: names.integration, markerRef: names.merged('one') };
    const answers = await Promise.all([pushMerge(push), pushMerge(push), pushMerge(push)]);
    // Pushes that find everything as they want it say so, too: what counts is that nobody is told that it moved.
    expect(answers).toContain('merged');
    expect(answers).not.toContain('moved');
    expect(await pushMerge(push)).toBe('already');
    expect(await readRef(hub, names.integration)).toBe(commit);
  });

  test('on a head that has moved changes neither integration nor marker', async () => {
    const { hub, base } = await hubWith({ 'a.txt': 'a\n' });
    const first = await change(hub, base, { 'b.txt': 'b\n' });
    const second = await tested(hub, base, 'c.txt');
    await pushRef({ ...first, hub, ref: names.integration, lease: base });
    const answer = await pushMerge({
      hub,
      base,
      tested: second,
      integrationRef: names.integration,
      markerRef: names.merged('two'),
    });
    expect(answer).toBe('moved');
    expect(await readRef(hub, names.integration)).toBe(first.commit);
    expect(await readRef(hub, names.merged('two'))).toBeNull();
  });

  test('by a zombie with an old lease is refused, and the same push again is fine', async () => {
    const { hub, base } = await hubWith({ 'a.txt': 'a\n' });
    const ref = names.wip('one', 1, 'tok');
    const first = await change(hub, base, { 'b.txt': '1\n' });
    const second = await change(hub, base, { 'b.txt': '2\n' });
    await pushRef({ ...first, hub, ref, lease: null });
    await pushRef({ ...first, hub, ref, lease: null });
    await expect(pushRef({ ...second, hub, ref, lease: null })).rejects.toMatchObject({ code: 'GIT_MOVED' });
    await pushRef({ ...second, hub, ref, lease: first.commit });
    await expect(pushRef({ ...first, hub, ref, lease: base })).rejects.toMatchObject({ code: 'GIT_MOVED' });
    expect(await readRef(hub, ref)).toBe(second.commit);
  });

  test('gets past a lock that a killed git left an hour ago', async () => {
    const { hub, base } = await hubWith({ 'a.txt': 'a\n' });
    const commit = await tested(hub, base, 'b.txt');
    const lock = join(hub, `${names.integration}.lock`);
    writeFileSync(lock, '');
    execFileSync('touch', ['-d', '1 hour ago', lock]);
    const push = { hub, base, tested: commit, integrationRef: names.integration, markerRef: names.merged('one') };
    expect(await pushMerge(push)).toBe('merged');
  });

  test('that nobody serves is an error with the words of git', async () => {
    const { hub, base } = await hubWith({ 'a.txt': 'a\n' });
    const { folder } = await cloneAt({ hub, folder: fresh('clone'), commit: base });
    const nowhere = pushRef({ folder, hub: '/no/such/hub.git', commit: base, ref: names.integration, lease: null });
    await expect(nowhere).rejects.toThrow(/does not appear to be a git repository/);
  });
});
