/** Goal: evidence comes back as it was given. */
import { commitEvidence, listEvidence, readEvidence } from '@nexus/shared/git';
import { describe, expect, test } from 'vitest';
import { hubWith, names, plain } from '../../../test/tools/repositories.ts';

describe('evidence', () => {
  test('comes back as it was, nested and in every script, and leaves the branch namespace alone', async () => {
    const { hub } = await hubWith({});
    const ref = names.evidence('one/1-tok');
    const files = {
      'prompt.md': 'Do it — now.\n',
      'logs/check "a".txt': 'ü\n'.repeat(100_000),
      'logs/日本.bin': Buffer.from([1, 2, 3]),
      'empty.txt': '',
    };
    expect(await commitEvidence({ hub, ref, files, message: 'Evidence' })).toBe(ref);
    expect(await listEvidence({ hub, ref })).toEqual(Object.keys(files).sort());
    expect(await readEvidence({ hub, ref, path: 'prompt.md' })).toBe(files['prompt.md']);
    expect(await readEvidence({ hub, ref, path: 'logs/check "a".txt' })).toBe(files['logs/check "a".txt']);
    expect(await readEvidence({ hub, ref, path: 'empty.txt' })).toBe('');
    expect(await readEvidence({ hub, ref, path: 'prompt.md', bytesMax: 5 })).toBe('Do it');
    expect(await readEvidence({ hub, ref, path: 'none' })).toBeNull();
    expect(await readEvidence({ hub, ref: names.evidence('none'), path: 'none' })).toBeNull();
    expect(await listEvidence({ hub, ref: names.evidence('none') })).toEqual([]);
    expect(plain(hub, 'branch', '--list')).toBe('');
  });

  test('grows when the same ref is written again', async () => {
    const { hub } = await hubWith({});
    const ref = names.evidence('one');
    await commitEvidence({ hub, ref, files: { 'a.txt': 'a', 'b.txt': 'old' }, message: 'First' });
    await commitEvidence({ hub, ref, files: { 'b.txt': 'new', 'c.txt': 'c' }, message: 'Second' });
    expect(await listEvidence({ hub, ref })).toEqual(['a.txt', 'b.txt', 'c.txt']);
    expect(await readEvidence({ hub, ref, path: 'b.txt' })).toBe('new');
  });

  test('that several write at once into the same ref is all there', async () => {
    const { hub } = await hubWith({});
    const ref = names.evidence('one');
    const each = ['a.txt', 'b.txt', 'c.txt', 'd.txt'];
    await Promise.all(each.map((path) => commitEvidence({ hub, ref, files: { [path]: path }, message: path })));
    expect(await listEvidence({ hub, ref })).toEqual(each);
  });

  test('goes to a hub behind a URL', async () => {
    const { hub } = await hubWith({});
    const url = `file://${hub}`;
    const ref = names.evidence('one');
    await commitEvidence({ hub: url, ref, files: { 'a/b.txt': 'a' }, message: 'First' });
    await commitEvidence({ hub: url, ref, files: { 'c.txt': 'c' }, message: 'Second' });
    expect(await readEvidence({ hub: url, ref, path: 'a/b.txt' })).toBe('a');
    expect(await listEvidence({ hub, ref })).toEqual(['a/b.txt', 'c.txt']);
  });

  test('refuses a path that leads out of its tree', async () => {
    const { hub } = await hubWith({});
    for (const path of ['../x', '/x', 'a//b', '.git/config', '']) {
      const write = commitEvidence({ hub, ref: names.evidence('one'), files: { [path]: 'x' }, message: 'm' });
      await expect(write).rejects.toMatchObject({ code: 'BUG' });
    }
  });
});
