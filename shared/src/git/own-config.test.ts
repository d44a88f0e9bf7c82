import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { author, fresh, hubWith, plain, write } from '../../../test/tools/repositories.ts';
import { cloneAt } from './clone.ts';
import { commitAll } from './commit.ts';
import { diffStat } from './look.ts';
import { mergeInto } from './merge.ts';
import { git } from './run-git.ts';

/** A clone of which an agent has made the configuration run a program, by every way that git has for a commit. */
const hostileClone = async () => {
  const { hub, base } = await hubWith({ 'a.txt': 'a\n', '.gitattributes': '* filter=evil diff=evil merge=evil\n' });
  const folder = fresh('clone');
  await cloneAt({ hub, folder, commit: base });
  const ran = join(folder, '..', 'ran');
  const run = `touch ${ran}; cat`;
  for (const key of [
    'filter.evil.clean',
    'filter.evil.smudge',
    'diff.evil.textconv',
    'core.sshCommand',
    'gpg.program',
  ]) {
    plain(folder, 'config', key, run);
  }
  plain(folder, 'config', 'filter.evil.process', run);
  plain(folder, 'config', 'merge.evil.driver', run);
  plain(folder, 'config', 'url./nowhere/.insteadOf', `${hub}`);
  writeFileSync(join(folder, '.git', 'more'), `[core]\n\tfsmonitor = "${run}"\n`);
  plain(folder, 'config', 'include.path', 'more');
  return { hub, base, folder, ran };
};

test('what an agent wrote into the configuration of its clone runs no program, and leads nowhere', async () => {
  const { base, folder, ran } = await hostileClone();
  write(folder, { 'a.txt': 'b\n', 'new.txt': 'new\n' });
  const made = await commitAll(folder, { message: 'Work', author });
  expect(made.changed.sort()).toEqual(['a.txt', 'new.txt']);
  expect((await diffStat(folder, base, made.commit ?? '')).added).toBe(2);
  await git(['checkout', '--quiet', '--detach', base], { at: { clone: folder } });
  write(folder, { 'a.txt': 'c\n' });
  await commitAll(folder, { message: 'Other work', author });
  expect(await mergeInto(folder, made.commit ?? '', { message: 'Merge' })).toMatchObject({ files: ['a.txt'] });
  expect(existsSync(ran)).toBe(false);
  // The same, without us: the trap works.
  plain(folder, 'add', '--all');
  expect(existsSync(ran)).toBe(true);
});

test('a clone that an agent has turned into something else is none', async () => {
  const { folder, base, ran } = await hostileClone();
  plain(folder, 'config', 'core.bare', 'true');
  mkdirSync(join(folder, 'elsewhere'));
  writeFileSync(join(folder, '.git', 'commondir'), join(folder, 'elsewhere'));
  await expect(diffStat(folder, base, base)).resolves.toMatchObject({ files: [] });
  expect(existsSync(ran)).toBe(false);
});
