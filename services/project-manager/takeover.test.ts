import { expect, test } from 'vitest';
import { attemptBegun } from '../../test/tools/board.ts';
import { play } from '../../test/tools/play.ts';

test('an attempt that another worker has taken over stands on the board with that worker', () => {
  const game = play([{ id: 'build' }]);
  const begun = (instance_id: string) => {
    const { type, payload } = attemptBegun(game.of('build'));
    return game.tell({ type, payload: { ...payload, instance_id } });
  };
  begun('worker-1');
  const began = game.part('build').began_at;
  begun('worker-2');
  expect(game.part('build')).toMatchObject({ state: 'working', instance_id: 'worker-2', attempt: 1, began_at: began });
  game.finish('build');
  begun('worker-3');
  expect(game.part('build')).toMatchObject({ state: 'checking', instance_id: 'worker-1' });
});
