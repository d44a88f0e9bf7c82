/** Memories on every server that they are promised for: the one of the run, Redis 8 and Valkey 8. */
import { afterAll, describe, test } from 'vitest';
import { startImage } from '../../tools/redis-image.ts';
import { conform } from './conformance.ts';
import { meanings } from './meanings.ts';

describe('on the server of the run', () => conform());

for (const [image, hasVectors] of [
  ['redis:8', true],
  ['valkey/valkey:8', false],
] as const) {
  const server = await startImage(image);
  if ('why' in server) {
    console.warn(`left out: memories on ${image}, for ${server.why}`);
    test.skipIf('why' in server)(`memories on ${image} (left out: ${server.why.slice(0, 80)})`, () => undefined);
    continue;
  }
  afterAll(() => server.stop());
  describe(`on ${image}`, () => {
    conform(server.url);
    meanings(server.url, hasVectors);
  });
}
