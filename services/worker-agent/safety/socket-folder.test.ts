import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { expect, onTestFinished, test } from 'vitest';
import { makeSocketFolder, socketIn, sweepSocketFolders } from './socket-folder.ts';

const made = async (): Promise<string> => {
  const folder = await makeSocketFolder();
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
};

test('the socket of a worker that was killed goes; one that is listened on, or not made yet, stays', async () => {
  const [dead, alive, early] = [await made(), await made(), await made()];
  const path = JSON.stringify(socketIn(dead));
  const program = `require('node:net').createServer().listen(${path}, () => console.log('up'))`;
  const killed = spawn(process.execPath, ['-e', program], { stdio: ['ignore', 'pipe', 'inherit'] });
  await once(killed.stdout, 'data');
  killed.kill('SIGKILL');
  await once(killed, 'exit');
  const server = createServer().listen(socketIn(alive));
  await once(server, 'listening');
  onTestFinished(() => void server.close());
  const removed = await sweepSocketFolders();
  expect(removed).toContain(dead);
  expect([dead, alive, early].map(existsSync)).toEqual([false, true, true]);
});
