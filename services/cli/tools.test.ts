import { once } from 'node:events';
import { createServer, type Socket } from 'node:net';
import { expect, onTestFinished, test } from 'vitest';
import { knock } from './tools.ts';

/** A server on loopback that does with each connection what it is told. */
const listen = async (take: (socket: Socket) => void): Promise<string> => {
  const server = createServer(take).listen(0, '127.0.0.1');
  await once(server, 'listening');
  onTestFinished(() => {
    server.close();
  });
  const address = server.address();
  return `redis://127.0.0.1:${typeof address === 'object' && address ? address.port : 0}`;
};

test('a Redis that takes connections and never answers is not reachable; one that asks for a password is', async () => {
  const sockets: Socket[] = [];
  const hung = await listen((socket) => sockets.push(socket));
  onTestFinished(() => {
    for (const socket of sockets) socket.destroy();
  });
  await expect(knock(hung, 100)).rejects.toMatchObject({ code: 'REDIS_UNREACHABLE' });
  const closing = await listen((socket) => socket.destroy());
  await expect(knock(closing, 1000)).rejects.toMatchObject({ code: 'REDIS_UNREACHABLE' });
  const asking = await listen((socket) =>
    socket.once('data', () => socket.end('-NOAUTH Authentication required.\r\n')),
  );
  await knock(asking, 1000);
  await knock(`redis+sentinel://${[hung, asking].map((url) => url.slice('redis://'.length)).join(',')}/main`, 1000);
});
