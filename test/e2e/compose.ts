/** One fleet in containers for a test file: a compose project of its own, on a free port, gone afterwards. */
import { execFile } from 'node:child_process';
import { dirname } from 'node:path';
import { promisify } from 'node:util';
import { freePort } from '@nexus/shared/process';

const run = promisify(execFile);
const root = dirname(dirname(import.meta.dirname));

export type Fleet = {
  url: string;
  /** Runs `docker compose <words>`; resolves to what it printed, throws with both streams. */
  compose(...words: string[]): Promise<string>;
  /** Runs a command in a service's (first) container, without a terminal. */
  exec(service: string, ...words: string[]): Promise<string>;
  /** The ids of a service's containers. */
  containers(service: string): Promise<string[]>;
  /** Runs `docker <words>`. */
  docker(...words: string[]): Promise<string>;
  /** Runs a shell line in one container. */
  within(container: string, line: string): Promise<string>;
  /** Ends everything and removes what is left: containers, volumes, network, images. */
  remove(): Promise<void>;
};

/** Describes a fleet; nothing is started before `compose('up', …)`. */
export const composeFleet = async (settings: Record<string, string>): Promise<Fleet> => {
  const port = await freePort();
  const project = `nexus-e2e-${process.pid}-${Math.random().toString(36).slice(2, 6)}`;
  // Its agents leave word in the home of the fleet.
  const env = { ...process.env, NEXUS_SANDBOX: 'off', ...settings, NEXUS_GATEWAY_PORT: String(port) };
  const docker = async (words: string[]): Promise<string> => {
    const { stdout } = await run('docker', words, { cwd: root, env, maxBuffer: 64_000_000 });
    return stdout.trim();
  };
  const compose = (...words: string[]) => docker(['compose', '-p', project, ...words]);
  return {
    url: `http://127.0.0.1:${port}`,
    compose,
    exec: (service, ...words) => compose('exec', '-T', service, ...words),
    containers: async (service) => (await compose('ps', '-q', service)).split('\n').filter(Boolean),
    docker: (...words) => docker(words),
    within: (container, line) => docker(['exec', container, 'sh', '-c', line]),
    remove: async () => {
      await compose('down', '--volumes', '--rmi', 'local', '--remove-orphans', '--timeout', '10');
    },
  };
};
