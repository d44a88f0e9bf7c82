/** Goal: a merge is clean, or an honest conflict that an agent can resolve; the same input gives the same commit. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import {
  cloneAt,
  commitAll,
  conflictMarkers,
  fetchCommits,
  headOf,
  mergeCandidate,
  mergeInto,
  pushRef,
} from '@nexus/shared/git';
import { describe, expect, test } from 'vitest';
import { author, change, fresh, hubWith, names, plain, write } from '../../../test/tools/repositories.ts';

const merge = { message: 'Merge one subtask', date: '2026-01-02T03:04:05Z' };

describe('a merge', () => {
  test('that conflicts goes back with markers, is resolved, and is then a clean candidate', async () => {
    const { hub, base } = await hubWith({ 'a.txt': 'one\ntwo\nthree\n' });
    const first = await change(hub, base, { 'a.txt': 'one\nTWO by first\nthree\n' });
    const second = await change(hub, base, { 'a.txt': 'one\nTWO by second\nthree\n' });
    await pushRef({ ...first, hub, ref: names.integration, lease: base });
    await pushRef({ ...second, hub, ref: names.attempt('two', 1, 't'), lease: null });

    const checker = await cloneAt({ hub, folder: fresh('clone'), commit: first.commit });
    const refused = await mergeCandidate({
      folder: checker.folder,
      base: first.commit,
      commit: second.commit,
      ...merge,
    });
    expect(refused).toEqual({ merged: null, conflicts: ['a.txt'] });
    expect(plain(checker.folder, 'status', '--porcelain')).toBe('');
    expect(await headOf(checker.folder)).toBe(first.commit);

    const again = await cloneAt({ hub, folder: fresh('clone'), commit: first.commit });
    const into = await mergeInto(again.folder, second.commit, { message: 'Bring the work so far' });
    expect(into).toEqual({ clean: false, files: ['a.txt'] });
    expect(await conflictMarkers(again.folder)).toEqual(['a.txt']);
    write(again.folder, { 'a.txt': 'one\nTWO by both\nthree\n' });
    const { commit } = await commitAll(again.folder, { message: 'Reconcile', author, since: first.commit });
    expect(plain(again.folder, 'rev-list', '--parents', '-1', 'HEAD')).toBe(
      `${commit} ${first.commit} ${second.commit}`,
    );
    await pushRef({ folder: again.folder, hub, commit: commit ?? '', ref: names.attempt('two', 2, 't'), lease: null });

    await fetchCommits({ folder: checker.folder, hub, commits: [commit ?? '', base] });
    const passed = await mergeCandidate({
      folder: checker.folder,
      base: first.commit,
      commit: commit ?? '',
      ...merge,
    });
    expect(passed.conflicts).toEqual([]);
    expect(await headOf(checker.folder)).toBe(passed.merged);
    expect(readFileSync(join(checker.folder, 'a.txt'), 'utf8')).toBe('one\nTWO by both\nthree\n');
  });

  test('of the same input is the same commit, whoever makes it and when', async () => {
    const { hub, base } = await hubWith({ 'a.txt': 'a\n' });
    const { commit, folder } = await change(hub, base, { 'b.txt': 'b\n' });
    await pushRef({ folder, hub, commit, ref: names.attempt('one', 1, 't'), lease: null });
    const merged = [];
    for (let round = 0; round < 2; round += 1) {
      const clone = await cloneAt({ hub, folder: fresh('clone'), commit: base });
      write(clone.folder, { 'left-over.txt': 'x' });
      merged.push((await mergeCandidate({ folder: clone.folder, base, commit, ...merge })).merged);
      expect(plain(clone.folder, 'status', '--porcelain')).toBe('');
    }
    expect(merged[0]).toBe(merged[1]);
    expect(plain(folder, 'cat-file', '-t', commit)).toBe('commit');
  });

  test('of what base already holds is base itself', async () => {
    const { hub, base } = await hubWith({ 'a.txt': 'a\n' });
    const { folder, commit } = await change(hub, base, { 'b.txt': 'b\n' });
    expect(await mergeCandidate({ folder, base: commit, commit: base, ...merge })).toEqual({
      merged: commit,
      conflicts: [],
    });
  });

  test('into a folder whose local changes are in the way is an error, not a conflict', async () => {
    const { hub, base } = await hubWith({ 'a.txt': 'a\n' });
    const { folder, commit } = await change(hub, base, { 'a.txt': 'b\n' });
    plain(folder, 'checkout', '-q', '--detach', base);
    write(folder, { 'a.txt': 'local\n' });
    await expect(mergeInto(folder, commit, { message: 'm' })).rejects.toMatchObject({ code: 'GIT_FAILED' });
  });
});
