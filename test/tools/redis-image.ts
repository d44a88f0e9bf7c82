/**
 * A Redis of another version, from its image, by testcontainers. Where the machine has no Docker, or cannot get the
 * image, that is said, and the tests that want it are left out by name.
 */
import { setTimeout as sleep } from 'node:timers/promises';

export type ImageServer = { url: string; stop(): Promise<void> };
export type Unreachable = { why: string };

/** Starts a server from an image; `why` says what keeps it away. */
export const startImage = async (image: string): Promise<ImageServer | Unreachable> => {
  try {
    const { GenericContainer } = await import('testcontainers');
    const starting = new GenericContainer(image)
      .withExposedPorts(6379)
      .withCommand(['--save', '', '--appendonly', 'yes'])
      .withStartupTimeout(60_000)
      .start();
    const container = await Promise.race([starting, sleep(90_000, null, { ref: false })]);
    if (container === null) return { why: 'it did not start within 90 seconds' };
    return {
      url: `redis://${container.getHost()}:${container.getMappedPort(6379)}`,
      stop: async () => {
        await container.stop();
      },
    };
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    const reaper = /ryuk/i.test(message) ? ' (TESTCONTAINERS_RYUK_DISABLED=true does without that image)' : '';
    return { why: `${message.split('\n')[0]}${reaper}` };
  }
};
