/** Ports of loopback for servers that are about to start. */
import { createServer } from 'node:net';

const loopback = '127.0.0.1';
/**
 * Below those that the kernel gives to connections going out (32768 on Linux: `ip_local_port_range`,
 * https://docs.kernel.org/networking/ip-sysctl.html): one of these would be taken before its server starts.
 */
const [first, last] = [10_240, 32_767];
const triesMax = 100;
const given = new Set<number>();

/** A port that nobody listens on right now, and that this process was not given before. */
export const freePort = async (): Promise<number> => {
  for (let tries = 1; ; tries += 1) {
    const port = first + Math.floor(Math.random() * (last - first + 1));
    if (given.has(port)) continue;
    try {
      await demandFreePort(port);
      given.add(port);
      return port;
    } catch (error) {
      if (tries >= triesMax) throw error;
    }
  }
};

/** Listens on a port for a moment; rejects with the system's error where it is taken. */
export const demandFreePort = (port: number): Promise<void> =>
  new Promise((resolve, reject) => {
    const server = createServer();
    server.on('error', reject);
    server.listen(port, loopback, () => server.close(() => resolve()));
  });
