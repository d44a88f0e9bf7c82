import { tmpdir } from 'node:os';
import { expect, test } from 'vitest';
import { git, runGit, splitSecret, withoutPasswords } from './run-git.ts';

const at = { nowhere: tmpdir() };

test('COMMAND_TIMEOUT: a git that does not end is ended, and says which command it was', async () => {
  const slow = runGit(['-c', 'alias.wait=!sleep 60', 'wait'], { at, timeoutMs: 200 });
  await expect(slow).rejects.toMatchObject({ code: 'COMMAND_TIMEOUT', details: { command: 'git -c' } });
});

test('a git that is aborted fails with the reason of the signal', async () => {
  const reason = new Error('the reason');
  const signal = AbortSignal.abort(reason);
  await expect(runGit(['-c', 'alias.wait=!sleep 60', 'wait'], { at, signal })).rejects.toBe(reason);
});

test('no settings of the machine or of a person reach our git', async () => {
  const listed = await git(['config', '--list', '--show-origin'], { at, answers: [0, 1] });
  const origins = new Set(listed.split('\n').map((line) => line.split('\t')[0]));
  for (const origin of origins) expect(origin).toMatch(/^(command line:|file:.*nexus\.gitconfig)$/);
});

test('a password in a URL is in no message, and travels with the credentials instead', () => {
  expect(withoutPasswords('fatal: https://me:hush@example.com/x.git not found')).toBe(
    'fatal: https://example.com/x.git not found',
  );
  expect(JSON.stringify(splitSecret('https://me:hush@example.com/x.git', undefined))).toContain(
    '"https://example.com/x.git"',
  );
});
