/**
 * Goal: a person's repository is read rightly, refused clearly, and never touched but for one new branch. Method: real
 * repositories in temporary folders, and one behind HTTP that asks for a password.
 */
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  realpathSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  cloneAt,
  commitAll,
  createHub,
  hubLocation,
  hubPath,
  listRefs,
  probeRepository,
  pushRef,
  pushResult,
  readRef,
  refs,
  removeHub,
} from '@nexus/shared/git';
import { afterAll, describe, expect, test } from 'vitest';

const root = realpathSync(mkdtempSync(join(tmpdir(), 'nexus-repository-test-')));
afterAll(() => rmSync(root, { recursive: true, force: true }));

const author = { name: 'Aria', email: 'aria@nexus.local' };
const task = 'a-task-123456';
const names = refs(task);
const branch = `nexus/${task}`;
let count = 0;
const fresh = (name: string): string => join(root, `${count++}`, name);

const plain = (folder: string, ...args: string[]): string =>
  execFileSync('git', ['-C', folder, '-c', 'user.name=P', '-c', 'user.email=p@p', ...args], {
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'pipe'],
  }).trim();

/** A person's repository with two commits on main, and a tag with a message on the first. */
const personal = (...initArgs: string[]): { repository: string; first: string; second: string } => {
  const repository = fresh('person');
  mkdirSync(repository, { recursive: true });
  plain(repository, 'init', '-q', '-b', 'main', ...initArgs);
  writeFileSync(join(repository, 'a.txt'), 'one\n');
  plain(repository, 'add', '.');
  plain(repository, 'commit', '-q', '-m', 'First');
  plain(repository, 'tag', '-a', '-m', 'A tag', 'v1');
  const first = plain(repository, 'rev-parse', 'HEAD');
  writeFileSync(join(repository, 'a.txt'), 'two\n');
  plain(repository, 'commit', '-q', '-a', '-m', 'Second');
  return { repository, first, second: plain(repository, 'rev-parse', 'HEAD') };
};

/** A hub of the repository in which one more commit was made: the result. */
const worked = async (repository: string | null): Promise<{ hub: string; commit: string; base: string }> => {
  const hub = fresh(`${task}.git`);
  const { baseCommit: base } = await createHub({ hub, repository, base: null });
  const { folder } = await cloneAt({ hub, folder: fresh('clone'), commit: base });
  writeFileSync(join(folder, 'result.txt'), 'result\n');
  const { commit } = await commitAll(folder, { message: 'Result', author });
  if (commit === null) throw new Error('nothing changed');
  await pushRef({ folder, hub, commit, ref: names.integration, lease: base });
  return { hub, commit, base };
};

describe('a hub', () => {
  test('made from nothing has one first commit, and the settings that let pushes run beside each other', async () => {
    const hub = hubPath(fresh('home'), task);
    const { baseCommit, warnings } = await createHub({ hub, repository: null, base: null });
    expect(warnings).toEqual([]);
    expect(await listRefs(hub, 'refs/')).toEqual([{ ref: `refs/nexus/${task}/integration`, commit: baseCommit }]);
    expect(plain(hub, 'log', '--format=%an <%ae>', baseCommit)).toBe('NEXUS <nexus@localhost>');
    for (const [key, value] of Object.entries({
      'receive.autogc': 'false',
      'gc.auto': '0',
      'core.fsync': 'objects,reference',
      'receive.unpackLimit': '1',
    })) {
      expect(plain(hub, 'config', '--local', key)).toBe(value);
    }
  });

  test('made from a repository holds what leads to its head, and no branch of it', async () => {
    const { repository, second } = personal();
    plain(repository, 'branch', 'other', 'HEAD~1');
    const hub = fresh(`${task}.git`);
    expect(await createHub({ hub, repository, base: null })).toEqual({ baseCommit: second, warnings: [] });
    expect(await listRefs(hub, 'refs/')).toEqual([{ ref: names.integration, commit: second }]);
  });

  test('begins at the branch, tag or commit that was asked for', async () => {
    const { repository, first, second } = personal();
    plain(repository, 'branch', 'grüne/wiese', first);
    for (const [base, commit] of [
      ['grüne/wiese', first],
      ['v1', first],
      [first, first],
      [first.slice(0, 9), first],
      ['main', second],
    ] as const) {
      for (const from of [repository, ...(base.length === 9 ? [] : [`file://${repository}`])]) {
        const hub = fresh(`${task}.git`);
        expect((await createHub({ hub, repository: from, base })).baseCommit).toBe(commit);
        expect(await readRef(hub, names.integration)).toBe(commit);
      }
    }
  });

  test('asked for again is found as it was made, though integration has gone on', async () => {
    const { repository } = personal();
    writeFileSync(join(repository, 'a.txt'), 'dirty\n');
    const { hub, base, commit } = await worked(repository);
    const again = await createHub({ hub, repository, base: null });
    expect(again.baseCommit).toBe(base);
    expect(again.warnings).toHaveLength(1);
    expect(await readRef(hub, names.integration)).toBe(commit);
  });

  test('asked for by two at once is one hub, and what a crash left half is no hub', async () => {
    const { repository, second } = personal();
    const hub = fresh(`${task}.git`);
    mkdirSync(`${hub}.making-crashed`, { recursive: true });
    const both = await Promise.all([1, 2].map(() => createHub({ hub, repository, base: null })));
    expect(both.map(({ baseCommit }) => baseCommit)).toEqual([second, second]);
    expect(readdirSync(join(hub, '..')).toSorted()).toEqual([`${task}.git`, `${task}.git.making-crashed`]);
  });

  test('whose base nobody knows, which behind a URL only the fetch can tell, is not made and leaves nothing', async () => {
    const hub = fresh(`${task}.git`);
    mkdirSync(join(hub, '..'), { recursive: true });
    const { repository } = personal();
    const making = createHub({ hub, repository: `file://${repository}`, base: '1'.repeat(40) });
    await expect(making).rejects.toMatchObject({ code: 'BASE_UNKNOWN' });
    expect(readdirSync(join(hub, '..'))).toEqual([]);
  });

  test('made from an empty repository warns and begins with a first commit', async () => {
    const repository = fresh('empty');
    mkdirSync(repository, { recursive: true });
    plain(repository, 'init', '-q');
    const { hub, commit } = await worked(repository);
    expect((await createHub({ hub, repository, base: null })).warnings[0]).toMatch(/no commit yet/);
    expect(await pushResult({ hub, commit, repository, branch })).toBe('pushed');
    expect(plain(repository, 'rev-parse', branch)).toBe(commit);
  });

  test('of a shallow repository works all the way to the result', async () => {
    const { repository } = personal();
    const shallow = fresh('shallow');
    execFileSync('git', ['clone', '-q', '--depth=1', `file://${repository}`, shallow]);
    const { hub, commit } = await worked(shallow);
    expect(await pushResult({ hub, commit, repository: shallow, branch })).toBe('pushed');
    expect(plain(shallow, 'show', `${branch}:result.txt`)).toBe('result');
  });

  test('of a repository with SHA-256 names works all the way to the result', async () => {
    const { repository, second } = personal('--object-format=sha256');
    expect(second).toHaveLength(64);
    const { hub, commit } = await worked(repository);
    expect(await pushResult({ hub, commit, repository, branch })).toBe('pushed');
    expect(plain(repository, 'rev-parse', branch)).toBe(commit);
  });

  test('behind a URL begins in its own refs, once, and is removed by them', async () => {
    const { repository, second } = personal();
    const shared = fresh('shared.git');
    execFileSync('git', ['init', '-q', '--bare', shared]);
    const hub = `file://${shared}`;
    const options = { hub, taskId: task, repository, base: null };
    expect((await createHub(options)).baseCommit).toBe(second);
    expect((await createHub(options)).baseCommit).toBe(second);
    expect(await listRefs(hub, 'refs/')).toEqual([{ ref: names.integration, commit: second }]);
    await removeHub(hub, task);
    expect(await listRefs(hub, 'refs/')).toEqual([]);
  });

  test('goes as a whole, and going twice is no error', async () => {
    const { hub } = await worked(null);
    await removeHub(hub);
    await removeHub(hub);
    expect(readdirSync(join(hub, '..'))).toEqual([]);
  });

  test('lies under the home, or where the setting says', () => {
    expect(hubLocation({ home: '/h' }, task)).toBe(`/h/hubs/${task}.git`);
    expect(hubLocation({ home: '/h', hubs: '/volume' }, task)).toBe(`/volume/${task}.git`);
    expect(hubLocation({ home: '/h', hubs: 'https://git.example/hubs/' }, task)).toBe(
      `https://git.example/hubs/${task}.git`,
    );
  });
});

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
    ['a host that does not exist', 'https://127.0.0.1:1/x.git', 'REPOSITORY_MISSING', /127\.0\.0\.1/],
  ])('refuses %s', async (_what, repository, code, says) => {
    const look = probeRepository({ repository });
    await expect(look).rejects.toMatchObject({ code });
    await expect(look).rejects.toThrow(says);
  });

  test('refuses a path outside of what the fleet sees, naming the setting, also by way of a link', async () => {
    const { repository } = personal();
    const within = { folders: [join(root, 'seen')], setting: 'NEXUS_REPOSITORIES' };
    mkdirSync(join(root, 'seen'), { recursive: true });
    execFileSync('ln', ['-s', repository, join(root, 'seen', 'link')]);
    for (const path of [repository, join(root, 'seen', 'link'), join(root, 'seen', 'none')]) {
      const look = probeRepository({ repository: path, within });
      await expect(look).rejects.toMatchObject({ code: 'REPOSITORY_UNSEEN' });
      await expect(look).rejects.toThrow(/NEXUS_REPOSITORIES/);
    }
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
    expect((await probeRepository({ repository })).head).toBe(second);
  });

  test('reads a repository that belongs to another user', async () => {
    const { repository, second } = personal();
    if (process.getuid?.() === 0) execFileSync('chown', ['-R', '65534', repository]);
    expect((await probeRepository({ repository })).head).toBe(second);
    const { hub, commit } = await worked(repository);
    expect(await pushResult({ hub, commit, repository, branch })).toBe('pushed');
  });

  test('gives up after its time, and at once when aborted', async () => {
    const server = createServer(() => {});
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const repository = `http://127.0.0.1:${(server.address() as AddressInfo).port}/x.git`;
    const look = probeRepository({ repository, timeoutMs: 300 });
    await expect(look).rejects.toThrow(/no answer within 300 ms/);
    const aborted = probeRepository({ repository, signal: AbortSignal.abort(new Error('enough')) });
    await expect(aborted).rejects.toThrow('enough');
    server.closeAllConnections();
    server.close();
  });
});

describe('a result', () => {
  test('is one new branch: checked-out branch, index and work tree stay as they are', async () => {
    const { repository, second } = personal();
    const { hub, commit } = await worked(repository);
    writeFileSync(join(repository, 'a.txt'), 'being edited\n');
    writeFileSync(join(repository, 'staged.txt'), 'staged\n');
    plain(repository, 'add', 'staged.txt');
    const before = plain(repository, 'status', '--porcelain=v2', '--branch');
    const index = readFileSync(join(repository, '.git', 'index'));
    expect(await pushResult({ hub, commit, repository, branch: names.result })).toBe('pushed');
    expect(plain(repository, 'status', '--porcelain=v2', '--branch')).toBe(before);
    expect(readFileSync(join(repository, '.git', 'index'))).toEqual(index);
    expect(plain(repository, 'rev-parse', 'HEAD')).toBe(second);
    expect(plain(repository, 'rev-parse', branch)).toBe(commit);
    expect(await pushResult({ hub, commit, repository, branch })).toBe('already');
  });

  test('never overwrites a branch, nor one that is checked out anywhere', async () => {
    const { repository, first } = personal();
    const { hub, commit } = await worked(repository);
    plain(repository, 'branch', branch, first);
    const push = () => pushResult({ hub, commit, repository, branch });
    await expect(push()).rejects.toMatchObject({ code: 'RELEASE_FAILED' });
    expect(plain(repository, 'rev-parse', branch)).toBe(first);
    plain(repository, 'branch', '-D', branch);
    plain(repository, 'config', 'receive.denyCurrentBranch', 'updateInstead');
    plain(repository, 'symbolic-ref', 'HEAD', `refs/heads/${branch}`);
    await expect(push()).rejects.toThrow(/is checked out/);
    expect(existsSync(join(repository, 'result.txt'))).toBe(false);
  });

  test('that the repository refuses says so in the words of git', async () => {
    const { repository } = personal();
    const { hub, commit } = await worked(repository);
    writeFileSync(join(repository, '.git', 'hooks', 'pre-receive'), '#!/bin/sh\necho no Fridays\nexit 1\n', {
      mode: 0o755,
    });
    await expect(pushResult({ hub, commit, repository, branch })).rejects.toThrow(/no Fridays/);
    plain(repository, 'branch', 'nexus');
    await expect(pushResult({ hub, commit, repository, branch })).rejects.toMatchObject({ code: 'BRANCH_OCCUPIED' });
  });
});

describe('a repository that asks for a password', () => {
  /** `git http-backend` behind basic authentication: https://git-scm.com/docs/git-http-backend */
  const serve = async (folder: string) => {
    const server = createServer((request, response) => {
      const wanted = `Basic ${Buffer.from('per:geheim').toString('base64')}`;
      if (request.headers.authorization !== wanted) {
        response.writeHead(401, { 'WWW-Authenticate': 'Basic realm="x"' }).end();
        return;
      }
      const url = new URL(request.url ?? '/', 'http://x');
      const backend = spawn('git', ['http-backend'], {
        env: {
          PATH: process.env.PATH,
          GIT_PROJECT_ROOT: folder,
          GIT_HTTP_EXPORT_ALL: '1',
          REMOTE_USER: 'per',
          REQUEST_METHOD: request.method,
          PATH_INFO: url.pathname,
          QUERY_STRING: url.search.slice(1),
          CONTENT_TYPE: request.headers['content-type'] ?? '',
          HTTP_CONTENT_ENCODING: request.headers['content-encoding'] ?? '',
          GIT_PROTOCOL: String(request.headers['git-protocol'] ?? ''),
        },
      });
      request.pipe(backend.stdin);
      const chunks: Buffer[] = [];
      backend.stdout.on('data', (chunk: Buffer) => chunks.push(chunk));
      backend.once('close', () => {
        const all = Buffer.concat(chunks);
        const end = all.indexOf('\r\n\r\n');
        const headers = all
          .subarray(0, end)
          .toString()
          .split('\r\n')
          .map((line) => line.split(': '));
        const { Status = '200', ...others } = Object.fromEntries(headers) as Record<string, string>;
        response.writeHead(Number.parseInt(Status, 10), others).end(all.subarray(end + 4));
      });
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const close = async () => {
      server.closeAllConnections();
      server.close();
    };
    return { host: `127.0.0.1:${(server.address() as AddressInfo).port}`, [Symbol.asyncDispose]: close };
  };

  test('is locked without it, and reached with it by credentials or in the URL, which no error repeats', async () => {
    const { repository, second } = personal();
    const bare = fresh('served.git');
    execFileSync('git', ['clone', '-q', '--bare', repository, bare]);
    plain(bare, 'config', 'http.receivepack', 'true');
    await using server = await serve(join(bare, '..'));
    const url = `http://${server.host}/served.git`;
    const credentials = `http://per:geheim@${server.host}\n`;
    await expect(probeRepository({ repository: url })).rejects.toMatchObject({ code: 'REPOSITORY_LOCKED' });
    const wrong = probeRepository({ repository: `http://per:falsch@${server.host}/served.git` });
    await expect(wrong).rejects.toMatchObject({ code: 'REPOSITORY_LOCKED', details: { repository: url } });
    expect((await probeRepository({ repository: url, credentials })).head).toBe(second);
    expect((await probeRepository({ repository: url.replace('//', '//per:geheim@') })).head).toBe(second);

    const hub = fresh(`${task}.git`);
    const { baseCommit } = await createHub({ hub, repository: url, base: 'v1', credentials });
    const locked = pushResult({ hub, commit: baseCommit, repository: url, branch });
    await expect(locked).rejects.toMatchObject({ code: 'REPOSITORY_LOCKED' });
    expect(await pushResult({ hub, commit: baseCommit, repository: url, branch, credentials })).toBe('pushed');
    expect(plain(bare, 'rev-parse', branch)).toBe(baseCommit);
    expect(() => execFileSync('grep', ['-r', 'geheim', hub])).toThrow();
  });
});
