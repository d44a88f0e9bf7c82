import { expect, test } from 'vitest';
import { ways } from './end-state.ts';

const result = {
  repository: '/var/lib/nexus/results/say-hello-x1',
  look: 'git -C /var/lib/nexus/results/say-hello-x1 log --stat a..nexus/say-hello-x1',
  start: null,
  undo: 'git -C /var/lib/nexus/results/say-hello-x1 branch -D nexus/say-hello-x1',
};

test('what a result is looked at with is typed as it is where the fleet runs', () => {
  expect(ways(result, false)).toEqual([
    ['look', result.look],
    ['start', null],
    ['undo', result.undo],
    ['copy', null],
  ]);
});

test('a result within a container is looked at, undone and copied from beside it', () => {
  expect(ways(result, true)).toEqual([
    ['look', `docker compose exec finalizer sh -c '${result.look}'`],
    ['start', null],
    ['undo', `docker compose exec finalizer sh -c '${result.undo}'`],
    ['copy', 'docker compose cp finalizer:/var/lib/nexus/results/say-hello-x1 .'],
  ]);
  const pushed = { ...result, repository: 'https://example.com/shop.git', look: 'git fetch', undo: null };
  expect(ways(pushed, true)).toEqual(ways(pushed, false));
});
