/** The folder of the credential proxy’s socket, among those for a while: the path of a socket has to be short. */
import { once } from 'node:events';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const prefix = 'nexus-proxy-';

export const makeSocketFolder = (): Promise<string> => mkdtemp(join(tmpdir(), prefix));

/** Where the proxy listens in there. */
export const socketIn = (folder: string): string => join(folder, 'socket');

/** Removes what workers that were killed have left: sockets on which nobody listens. Returns the folders. */
export const sweepSocketFolders = async (): Promise<string[]> => {
  const removed: string[] = [];
  for (const name of await readdir(tmpdir())) {
    if (!name.startsWith(prefix)) continue;
    const folder = join(tmpdir(), name);
    // One that is being made has no socket yet, and may not be touched.
    if ((await connectTo(socketIn(folder))) !== 'ECONNREFUSED') continue;
    await rm(folder, { recursive: true, force: true });
    removed.push(folder);
  }
  return removed;
};

/** The code of the failure; null where somebody listens. */
const connectTo = async (path: string): Promise<string | null> => {
  const socket = connect({ path });
  try {
    await once(socket, 'connect');
    return null;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code ?? '';
  } finally {
    socket.destroy();
  }
};
