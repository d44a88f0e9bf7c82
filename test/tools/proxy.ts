/**
 * A TCP proxy before a server, to hurt the wire: cut it, or swallow what goes over it while both ends think they are
 * connected.
 */
import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { onTestFinished } from 'vitest';

export type Proxy = {
  port: number;
  /** Connections that stand now. */
  count(): number;
  /** Ends every connection; new ones are taken. */
  cut(): void;
  /** Nothing passes any more, in no direction, and no socket closes. New connections are taken and hear nothing. */
  swallow(): void;
  /** New connections pass again; what was swallowed stays lost, on connections that stay dumb. */
  heal(): void;
};

export const openProxy = async (port: number): Promise<Proxy> => {
  const pairs = new Set<{ near: Socket; far: Socket; dumb: boolean }>();
  let swallowing = false;
  const server = createServer((near) => {
    const far = connect(port, '127.0.0.1');
    const pair = { near, far, dumb: swallowing };
    pairs.add(pair);
    for (const [from, to] of [
      [near, far],
      [far, near],
    ] as const) {
      from.on('data', (chunk: Buffer) => {
        if (!pair.dumb) to.write(chunk);
      });
      from.on('error', () => undefined);
      from.on('close', () => {
        // The far end is not to hear of it while nothing passes.
        if (!pair.dumb || from === near) to.destroy();
        pairs.delete(pair);
      });
    }
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const cut = (): void => {
    for (const { near, far } of pairs) {
      near.destroy();
      far.destroy();
    }
  };
  onTestFinished(() => {
    server.close();
    cut();
  });
  return {
    port: (server.address() as AddressInfo).port,
    count: () => pairs.size,
    cut,
    swallow: () => {
      swallowing = true;
      for (const pair of pairs) pair.dumb = true;
    },
    heal: () => {
      swallowing = false;
    },
  };
};
