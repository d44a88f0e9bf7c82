/** Goal: what an agent leaves behind is committed as it is, and nothing else is. */
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { cloneAt, commitAll, conflictMarkers, diffStat, headOf, pushRef, snapshot } from '@nexus/shared/git';
import { describe, expect, test } from 'vitest';
import { author, fresh, hubWith, names, plain, write } from '../../../test/tools/repositories.ts';

describe('a commit', () => {
  test('holds names of every script and large files, and lists each path as it is', async () => {
    const { hub, base } = await hubWith({});
    const { folder } = await cloneAt({ hub, folder: fresh('clone'), commit: base });
    const large = 'x'.repeat(6_000_000);
    write(folder, { 'grüße/日本.txt': 'hello', 'with "quotes"\t.txt': 'q', 'large.bin': large });
    const { changed, commit } = await commitAll(folder, { message: 'Überall\n\n# kept', author });
    expect(changed.sort()).toEqual(['grüße/日本.txt', 'large.bin', 'with "quotes"\t.txt'].sort());
    expect(plain(folder, 'log', '-1', '--format=%an %ae|%cn|%B')).toBe('Aria aria@nexus.local|NEXUS|Überall\n\n# kept');
    await pushRef({ folder, hub, commit: commit ?? '', ref: names.attempt('one', 1, 'tok'), lease: null });
    const again = await cloneAt({ hub, folder: fresh('clone'), commit: commit ?? '' });
    expect(readFileSync(join(again.folder, 'large.bin'), 'utf8')).toBe(large);
    const stat = await diffStat(hub, base, commit ?? '');
    expect(stat.files.map(({ path }) => path).sort()).toEqual(changed);
  });

  test('is null when nothing changed', async () => {
    const { hub, base } = await hubWith({ 'a.txt': 'a\n' });
    const { folder } = await cloneAt({ hub, folder: fresh('clone'), commit: base });
    const nothing = { commit: null, changed: [] };
    expect(await commitAll(folder, { message: 'None', author, since: base })).toEqual(nothing);
    expect(await snapshot(folder, { message: 'None', author, since: base })).toEqual(nothing);
  });

  test('counts what the agent committed itself since the beginning', async () => {
    const { hub, base } = await hubWith({ 'a.txt': 'a\n' });
    const { folder } = await cloneAt({ hub, folder: fresh('clone'), commit: base });
    write(folder, { 'own.txt': 'own' });
    plain(folder, 'checkout', '-q', '-b', 'feature');
    plain(folder, 'add', '.');
    plain(folder, 'commit', '-q', '-m', 'By the agent');
    const made = await commitAll(folder, { message: 'Ours', author, since: base });
    expect(made).toEqual({ commit: plain(folder, 'rev-parse', 'HEAD'), changed: ['own.txt'] });
  });

  test('runs no hook and survives a lock that a killed git left behind', async () => {
    const { hub, base } = await hubWith({ 'a.txt': 'a\n' });
    const { folder } = await cloneAt({ hub, folder: fresh('clone'), commit: base });
    write(folder, { '.git/hooks/pre-commit': '#!/bin/sh\ntouch ran\nexit 1\n', 'a.txt': 'b\n', '.git/index.lock': '' });
    execFileSync('chmod', ['+x', join(folder, '.git/hooks/pre-commit')]);
    plain(folder, 'config', 'core.hooksPath', '.git/hooks');
    const { commit } = await commitAll(folder, { message: 'Through', author });
    expect(commit).not.toBeNull();
    expect(existsSync(join(folder, 'ran'))).toBe(false);
  });

  test('holds the files of a project in which a generator ran `git init`', async () => {
    const { hub, base } = await hubWith({});
    const { folder } = await cloneAt({ hub, folder: fresh('clone'), commit: base });
    write(folder, { 'app/main.js': 'run()', 'app/lib/x.js': 'x' });
    plain(join(folder, 'app'), 'init', '-q');
    const { changed } = await commitAll(folder, { message: 'App', author });
    expect(changed.sort()).toEqual(['app/lib/x.js', 'app/main.js']);
  });

  test('never goes into the repository above when the clone has lost its .git', async () => {
    const above = fresh('above');
    mkdirSync(above, { recursive: true });
    plain(above, 'init', '-q');
    const { hub, base } = await hubWith({});
    const { folder } = await cloneAt({ hub, folder: join(above, 'clone'), commit: base });
    rmSync(join(folder, '.git'), { recursive: true });
    write(folder, { 'a.txt': 'a' });
    await expect(commitAll(folder, { message: 'Lost', author })).rejects.toMatchObject({ code: 'GIT_FAILED' });
    expect(plain(above, 'status', '--porcelain')).toBe('?? clone/');
  });

  test('as a snapshot leaves head, index and work tree as the agent has them', async () => {
    const { hub, base } = await hubWith({ 'a.txt': 'a\n' });
    const { folder } = await cloneAt({ hub, folder: fresh('clone'), commit: base });
    write(folder, { 'a.txt': 'changed\n', 'staged.txt': 's', 'new.txt': 'n' });
    plain(folder, 'add', 'staged.txt');
    const before = plain(folder, 'status', '--porcelain');
    const { commit, changed } = await snapshot(folder, { message: 'Checkpoint', author, since: base });
    expect(changed).toEqual(['a.txt', 'new.txt', 'staged.txt']);
    expect(plain(folder, 'status', '--porcelain')).toBe(before);
    expect(await headOf(folder)).toBe(base);
    expect(plain(folder, 'rev-parse', `${commit}^`)).toBe(base);
    expect(readdirSync(join(folder, '.git')).filter((name) => name.startsWith('nexus-index'))).toEqual([]);
  });
});

describe('conflict markers', () => {
  test('are found only where a changed file holds a whole conflict', async () => {
    const { hub, base } = await hubWith({ 'old.txt': '<<<<<<< a\n1\n=======\n2\n>>>>>>> b\n' });
    const { folder } = await cloneAt({ hub, folder: fresh('clone'), commit: base });
    write(folder, {
      'title.md': 'Title\n=======\ntext\n',
      'quote.md': ' <<<<<<< a\n=======\n>>>>>>> b\n',
      'half.txt': '<<<<<<< a\nonly the beginning\n',
      'whole.txt': 'x\r\n<<<<<<< HEAD\r\n1\r\n=======\r\n2\r\n>>>>>>> theirs\r\n',
      'diff3.txt': '<<<<<<< HEAD\n1\n||||||| base\n0\n=======\n2\n>>>>>>> theirs\n',
    });
    expect(await conflictMarkers(folder)).toEqual(['diff3.txt', 'whole.txt']);
    await commitAll(folder, { message: 'All', author });
    expect(await conflictMarkers(folder)).toEqual([]);
    expect(await conflictMarkers(folder, base)).toEqual(['diff3.txt', 'whole.txt']);
  });
});
