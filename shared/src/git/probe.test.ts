/** Goal: a repository is read rightly or refused clearly, without a prompt and in time. */
import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { probeRepository, pushResult } from '@nexus/shared/git';
import { describe, expect, onTestFinished, test, vi } from 'vitest';
import { leaveOut, lock, noLock, noMount } from '../../../test/tools/machine.ts';
import { branch, personal, plain, root, worked } from '../../../test/tools/repositories.ts';

leaveOut('a repository that is mounted read-only', noMount);
leaveOut('a repository that may not be written', noLock);

describe('a look at a repository', () => {
  test('tells head, and changes that are not committed', async () => {
    const { repository, second } = personal();
    expect(await probeRepository({ repository })).toEqual({
      head: second,
      empty: false,
      dirty: false,
      local: true,
      warnings: [],
    });
    writeFileSync(join(repository, 'new.txt'), 'new');
    writeFileSync(join(repository, 'a.txt'), 'changed');
    const probe = await probeRepository({ repository });
    expect(probe.dirty).toBe(true);
    expect(probe.warnings).toEqual([expect.stringContaining(`2 uncommitted change(s)`)]);
    expect(probe.warnings[0]).toContain(second.slice(0, 10));
  });

  test.each([
    ['a folder that does not exist', '/no/such/place', 'REPOSITORY_MISSING', /no such folder/],
    ['a relative path', 'some/where', 'REPOSITORY_MISSING', /must begin with/],
    ['a folder that is not git', root, 'REPOSITORY_MISSING', /does not appear to be a git repository/],
    ['a file', '/etc/hostname', 'REPOSITORY_MISSING', /a file, not a folder/],
    ['a name that looks like an option', '--upload-pack=touch /tmp/x', 'REPOSITORY_MISSING', /must begin with/],
    ['a transport that runs commands', 'ext::sh -c "touch /tmp/x"', 'REPOSITORY_MISSING', /not allowed/],
    ['a host that takes no connection', 'https://127.0.0.1:1/x.git', 'REPOSITORY_UNREACHED', /127\.0\.0\.1/],
    ['a host that nobody knows', 'https://host.invalid/x.git', 'REPOSITORY_UNREACHED', /could not resolve host/i],
    ['a path that only sounds like it', '/no/connection refused', 'REPOSITORY_MISSING', /no such folder/],
  ])('refuses %s', async (_what, repository, code, says) => {
    const look = probeRepository({ repository });
    await expect(look).rejects.toMatchObject({ code });
    await expect(look).rejects.toThrow(says);
  });

  const refused = 'echo "ssh: connect to host 127.0.0.1 port 22: Connection refused" >&2; exit 255';
  test.each([
    ['that takes no ssh', refused, /ssh: connect to host 127\.0\.0\.1/],
    ['to be asked by ssh where there is none', null, /no such program is on the path/],
  ])('refuses a host %s', async (_what, ssh, says) => {
    const bin = mkdtempSync(join(root, 'bin-'));
    for (const program of ['git', 'sh']) {
      execFileSync('sh', ['-c', `ln -s "$(command -v ${program})" '${bin}'`]);
    }
    if (ssh !== null) writeFileSync(join(bin, 'ssh'), `#!/bin/sh\n${ssh}\n`, { mode: 0o755 });
    vi.stubEnv('PATH', bin);
    onTestFinished(() => void vi.unstubAllEnvs());
    const look = probeRepository({ repository: 'git@127.0.0.1:a/b.git' });
    await expect(look).rejects.toMatchObject({ code: 'REPOSITORY_UNREACHED', message: expect.stringMatching(says) });
  });

  test('refuses a path outside of what the fleet sees, naming the setting, also by way of a link', async () => {
    const { repository } = personal();
    const within = { folders: [join(root, 'seen')], setting: 'NEXUS_REPOSITORIES' };
    mkdirSync(join(root, 'seen'), { recursive: true });
    execFileSync('ln', ['-s', repository, join(root, 'seen', 'link')]);
    for (const path of [repository, join(root, 'seen', 'link'), join(root, 'seen', '..', 'none')]) {
      const look = probeRepository({ repository: path, within });
      await expect(look).rejects.toMatchObject({ code: 'REPOSITORY_UNSEEN' });
      await expect(look).rejects.toThrow(/NEXUS_REPOSITORIES/);
    }
    const none = probeRepository({ repository: join(root, 'seen', 'none'), within });
    await expect(none).rejects.toMatchObject({ code: 'REPOSITORY_MISSING' });
    const seen = { folders: [join(repository, '..')], setting: 'NEXUS_REPOSITORIES' };
    expect((await probeRepository({ repository, within: seen })).empty).toBe(false);
  });

  test('refuses a repository with a branch called nexus, and a base that is not there', async () => {
    const { repository } = personal();
    for (const base of ['none', '-x', 'a b', '0'.repeat(40)]) {
      const look = probeRepository({ repository, base });
      await expect(look).rejects.toMatchObject({ code: 'BASE_UNKNOWN', details: { base } });
    }
    plain(repository, 'branch', 'nexus');
    await expect(probeRepository({ repository })).rejects.toMatchObject({ code: 'BRANCH_OCCUPIED' });
  });

  test('starts at main when HEAD names a branch that does not exist yet', async () => {
    const { repository, second } = personal();
    plain(repository, 'symbolic-ref', 'HEAD', 'refs/heads/not-yet');
    const { head, warnings } = await probeRepository({ repository });
    expect(head).toBe(second);
    expect(warnings[0]).toContain('the work begins from main');
  });

  test('takes results of earlier tasks for nobody’s work: beside them an empty repository is empty', async () => {
    const { repository } = personal();
    for (const name of ['one', 'two']) plain(repository, 'branch', `nexus/${name}`, 'main');
    plain(repository, 'symbolic-ref', 'HEAD', 'refs/heads/not-yet');
    plain(repository, 'branch', '-D', 'main');
    expect(await probeRepository({ repository })).toMatchObject({ head: null, empty: true });
  });

  test('reads a repository that belongs to another user', async () => {
    const { repository, second } = personal();
    if (process.getuid?.() === 0) execFileSync('chown', ['-R', '65534', repository]);
    expect((await probeRepository({ repository })).head).toBe(second);
    const { hub, commit } = await worked(repository);
    expect(await pushResult({ hub, commit, repository, branch })).toBe('pushed');
  });

  test.skipIf(noLock !== null).each(['objects', 'refs/heads'])(
    'refuses a repository whose %s we may not write, before anything is done for it',
    async (name) => {
      const { repository } = personal();
      const folder = join(repository, '.git', name);
      lock(folder, true);
      try {
        const look = probeRepository({ repository });
        await expect(look).rejects.toMatchObject({ code: 'REPOSITORY_READONLY', details: { folder } });
        await expect(look).rejects.toThrow(/may not write .*setfacl/);
      } finally {
        lock(folder, false);
      }
      expect((await probeRepository({ repository })).empty).toBe(false);
    },
  );

  test.skipIf(noMount !== null)('takes one that is mounted read-only, and warns whoever would push to it', async () => {
    const { repository } = personal();
    const place = join(root, 'read-only');
    mkdirSync(place);
    execFileSync('mount', ['--bind', repository, place]);
    try {
      execFileSync('mount', ['-o', 'remount,bind,ro', place]);
      expect((await probeRepository({ repository: place })).warnings).toEqual([]);
      const { warnings } = await probeRepository({ repository: place, writesHere: true });
      expect(warnings).toEqual([expect.stringContaining('read-only')]);
    } finally {
      execFileSync('umount', ['-l', place]);
    }
  });

  test('gives up after its time, and at once when aborted', async () => {
    const server = createServer(() => {});
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const repository = `http://127.0.0.1:${(server.address() as AddressInfo).port}/x.git`;
    const look = probeRepository({ repository, timeoutMs: 300 });
    await expect(look).rejects.toThrow(/no answer within 300 ms/);
    await expect(look).rejects.toMatchObject({ code: 'REPOSITORY_UNREACHED' });
    const aborted = probeRepository({ repository, signal: AbortSignal.abort(new Error('enough')) });
    await expect(aborted).rejects.toThrow('enough');
    server.closeAllConnections();
    server.close();
  });
});
