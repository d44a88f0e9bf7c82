/** Goal: a clone of its own for every attempt, wherever the commit lies, whatever others do meanwhile. */
import { chmodSync, existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { cloneAt, commitAll, headOf, listRefs, pushRef, removeHub } from '@nexus/shared/git';
import { describe, expect, test } from 'vitest';
import { author, change, fresh, hubWith, names, plain, task, write } from '../../../test/tools/repositories.ts';

describe('a private clone', () => {
  test('stands detached at a commit that only refs/nexus/ names, with an identity and without a remote', async () => {
    const { hub, base } = await hubWith({ 'a.txt': 'a\n' });
    const { folder, commit } = await change(hub, base, { 'b.txt': 'b\n' });
    await pushRef({ folder, hub, commit, ref: names.attempt('one', 1, 'tok'), lease: null });
    const clone = await cloneAt({ hub, folder: fresh('clone'), commit });
    expect(await headOf(clone.folder)).toBe(commit);
    expect(plain(clone.folder, 'status', '--porcelain', '--branch')).toBe('## HEAD (no branch)');
    expect(plain(clone.folder, 'remote')).toBe('');
    expect(plain(clone.folder, 'config', '--local', 'user.email')).toBe('nexus@localhost');
    expect(existsSync(join(clone.folder, '.git', 'objects', 'info', 'alternates'))).toBe(false);
    expect(readFileSync(join(clone.folder, 'b.txt'), 'utf8')).toBe('b\n');
  });

  test('keeps what lies under .nexus/ out of commits', async () => {
    const { hub, base } = await hubWith({});
    const { folder } = await cloneAt({ hub, folder: fresh('clone'), commit: base });
    write(folder, { '.nexus/plan.json': '{}', 'kept.txt': 'kept' });
    const { changed } = await commitAll(folder, { message: 'Keep', author });
    expect(changed).toEqual(['kept.txt']);
  });

  test('by way of a mirror asks the hub only for what the mirror lacks', async () => {
    const { hub, base } = await hubWith({ 'a.txt': 'a\n' });
    const mirror = fresh('mirror.git');
    await cloneAt({ hub, folder: fresh('clone'), commit: base, mirror });
    const { commit, folder } = await change(hub, base, { 'b.txt': 'b\n' });
    await pushRef({ folder, hub, commit, ref: names.wip('one', 1, 'tok'), lease: null });
    const clone = await cloneAt({ hub, folder: fresh('clone'), commit, mirror });
    expect(await headOf(clone.folder)).toBe(commit);
    await removeHub(hub);
    const without = await cloneAt({ hub, folder: fresh('clone'), commit, mirror });
    expect(await headOf(without.folder)).toBe(commit);
  });

  test('works from a hub behind a URL, too', async () => {
    const { hub, base } = await hubWith({ 'a.txt': 'a\n' });
    const clone = await cloneAt({ hub: `file://${hub}`, folder: fresh('clone'), commit: base });
    expect(await headOf(clone.folder)).toBe(base);
    expect(plain(clone.folder, 'remote')).toBe('');
  });

  test('of a commit that does not exist fails and leaves no folder', async () => {
    const { hub } = await hubWith({});
    const folder = fresh('clone');
    await expect(cloneAt({ hub, folder, commit: '1'.repeat(40) })).rejects.toMatchObject({ code: 'GIT_FAILED' });
    expect(existsSync(folder)).toBe(false);
  });

  test('never takes over a folder that is there', async () => {
    const { hub, base } = await hubWith({});
    const folder = fresh('clone');
    write(folder, { 'theirs.txt': 'theirs' });
    await expect(cloneAt({ hub, folder, commit: base })).rejects.toThrow();
    expect(readdirSync(folder)).toEqual(['theirs.txt']);
  });

  test('shares no file with the hub: whatever is written over its objects stays in it', async () => {
    const { hub, base } = await hubWith({ 'a.txt': 'a\n' });
    const [one, other] = [fresh('clone'), fresh('clone')];
    for (const folder of [one, other]) await cloneAt({ hub, folder, commit: base });
    const objects = join(one, '.git', 'objects');
    const files = readdirSync(objects, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile());
    expect(files.length).toBeGreaterThan(0);
    for (const { parentPath, name } of files) {
      chmodSync(join(parentPath, name), 0o644);
      writeFileSync(join(parentPath, name), 'no object');
    }
    expect(() => plain(one, 'fsck')).toThrow();
    for (const folder of [hub, other]) expect(plain(folder, 'fsck', '--full', '--strict')).toBe('');
    expect(await headOf((await cloneAt({ hub, folder: fresh('clone'), commit: base })).folder)).toBe(base);
  });

  test('succeeds while others push to the hub', async () => {
    const { hub, base } = await hubWith({ 'a.txt': 'a\n' });
    const pushes = Array.from({ length: 6 }, async (_, index) => {
      const { folder, commit } = await change(hub, base, { [`${index}.txt`]: `${index}` });
      await pushRef({ folder, hub, commit, ref: names.wip('one', index, 'tok'), lease: null });
    });
    const clones = Array.from({ length: 6 }, () => cloneAt({ hub, folder: fresh('clone'), commit: base }));
    await Promise.all([...pushes, ...clones]);
    expect(await listRefs(hub, `refs/nexus/${task}/wip/`)).toHaveLength(6);
  });
});
