/** Goal: one new branch in the person's repository, and nothing else of theirs is touched. No secret is told. */
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { createHub, probeRepository, pushResult } from '@nexus/shared/git';
import { describe, expect, test } from 'vitest';
import { branch, fresh, names, personal, plain, task, worked } from '../../../test/tools/repositories.ts';

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
